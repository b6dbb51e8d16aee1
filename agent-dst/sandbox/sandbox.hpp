// Drops the front's privileges before the first byte from the network arrives.
#pragma once

#include <string_view>

namespace crx {

// Closes every descriptor above 2 that is not in `keep`.
void close_all_but(std::initializer_list<int> keep);

// Becomes the user nobody without groups and capabilities, sets no_new_privs and loads a seccomp filter that allows
// only what a server on open descriptors needs: no opening of files, no new sockets, no other processes. Irreversible.
// The process must be single-threaded. Throws Error.
void enter_sandbox();

}  // namespace crx
