// What the front gives up before it hears the first byte from the network.
#pragma once

#include <string_view>

namespace crx::front {

// Closes every descriptor above 2 that is not in `keep`.
void close_all_but(std::initializer_list<int> keep);

// Becomes nobody without groups and capabilities, sets no_new_privs and loads a seccomp filter that allows
// what a server on open descriptors needs: no opening of files, no new sockets, no other processes.
// Irreversible. The process must be single-threaded. Throws Error.
void enter_sandbox();

}  // namespace crx::front
