// The first exchange with the destination: Hello and Welcome.
#pragma once

#include "agent-src/migrate/migration_context.hpp"

namespace crx {

// Connects, sends Hello, and compares the hosts. Fills context.link, context.peer and the report's names, and notifies
// the observer. Reads /proc/PID/stat of the root and does not touch the tree otherwise. Throws Error: `refused` if the
// hosts do not fit (the observer has the findings), `peer` if the destination does not answer, `victim_gone` if the
// root has ended. On return the journal says OPEN.
void greet(MigrationContext& context);

}  // namespace crx
