// The first exchange with the destination: Hello and Welcome.
#pragma once

#include "agent-src/migrate/migration_context.hpp"

namespace crx {

// Connects, sends Hello, and compares the hosts. Fills context.link, context.peer and the report's names; tells the
// observer. Touches nothing of the tree but /proc/PID/stat. Throws Error: refused where the hosts do not fit (the
// observer has the findings), peer where nobody answers, victim_gone. Afterwards the journal says OPEN.
void greet(MigrationContext& context);

}  // namespace crx
