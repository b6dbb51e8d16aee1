// Drops a process's privileges before the first byte from the network arrives.
#pragma once

#include <initializer_list>

namespace crx {

// The work of the process on its open descriptors; everything else is forbidden.
enum class Sandbox {
  front,    // accept and read from connections
  signer,   // read key files, exchange packets
  session,  // read from and write to connections that exist; memory is limited
};

// Closes every descriptor above 2 that is not in `keep`.
void close_all_but(std::initializer_list<int> keep);

// To be called first, while files can be opened: reads the time zone for log lines, and limits the memory of a
// session's process to a fixed amount more than it has now. Throws Error.
void prepare_sandbox(Sandbox kind);

// Becomes the user nobody without groups and capabilities, sets
// no_new_privs and loads a seccomp filter that allows only what this kind of process needs: no opening of files, no new
// sockets, no other processes, no signals to others, and no memory that can be executed. Irreversible. The process must
// be single-threaded. Throws Error.
void enter_sandbox(Sandbox kind);

}  // namespace crx
