// Implements crx-migrate --resolve SESSION.
#pragma once

#include "agent-src/tool/migrate_options.hpp"

namespace crx {

// Prints what this host's journal knows of options.resolve on stdout, as JSON lines with --json, else as text; asks the
// destination until it gives a verdict, SIGTERM arrives or --timeout passes; and ends or resumes the original
// (resolve_session()). Returns 0 if the session is settled, 4 if it is still in doubt, and 1 if there is no such
// session. Throws Error if the journal cannot be read, is in use, or a step fails.
int run_resolve(const MigrateOptions& options);

}  // namespace crx
