// Repairs the state that a tool may have been started in.
#pragma once

namespace crx {

// Called first in main(). Descriptors 0 to 2 that are closed are opened on /dev/null: otherwise a file opened later
// would get one of these numbers and messages would be written into it. SIGCHLD is set to its default action: if it
// were ignored, the exit status of children would be lost (wait(2)).
void sanitize_startup_state() noexcept;

}  // namespace crx
