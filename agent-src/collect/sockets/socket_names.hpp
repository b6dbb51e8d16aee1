// What a socket is, for messages.
#pragma once

#include <sys/types.h>

#include <string>

namespace crx {

// "a TCP socket listening on 0.0.0.0:80", "a Unix socket (/run/x.sock)", ... of the socket with this inode number in
// the network namespace of pid; "a socket" where /proc/PID/net does not know it.
std::string describe_socket(pid_t pid, ino_t inode);

}  // namespace crx
