// Implements crx-migrate --resolve SESSION.
#pragma once

#include "agent-src/tool/migrate_options.hpp"

namespace crx {

// Prints what this host's journal knows of options.resolve on stdout: as JSON lines with --json, else as text. Returns
// 0 if the session is settled (DONE, ABORTED), 4 if it is in doubt (GO), and 1 if there is no such session. Changes
// nothing. Throws Error if the journal cannot be read.
int run_resolve(const MigrateOptions& options);

}  // namespace crx
