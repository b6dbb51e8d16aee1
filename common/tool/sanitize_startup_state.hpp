// What a tool makes of the state that it was started in.
#pragma once

namespace crx {

// The first thing in main(). Descriptors 0 to 2 that were closed lead to /dev/null: a file that got one of these
// numbers would be written messages into. SIGCHLD is not ignored: children that are not waited for would take their
// exit status along (wait(2)).
void sanitize_startup_state() noexcept;

}  // namespace crx
