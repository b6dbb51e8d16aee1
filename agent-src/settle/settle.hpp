// Implements crx-migrate --resolve, --adopt and --discard SESSION.
#pragma once

#include <string>

#include "agent-src/tool/migrate_options.hpp"

namespace crx {

// The session that the options name; empty if the options do not settle one.
const std::string& settled_session(const MigrateOptions& options);

// Prints what this host's journal knows of the session on stdout, as JSON lines with --json, else as text. --resolve
// asks the destination until it gives a verdict, SIGTERM arrives or --timeout passes, and ends or resumes the original
// (resolve_session()); --adopt and --discard take the user's decision (decide_session()). Prints the outcome on stderr.
// Returns 0 if the session is settled, and 4 if it is still in doubt. Throws Error if there is no such session, the
// decision is refused, the journal cannot be read or is in use, or a step fails.
int run_settle(const MigrateOptions& options);

}  // namespace crx
