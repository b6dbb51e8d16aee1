// Describes sockets for messages.
#pragma once

#include <sys/types.h>

#include <string>

namespace crx {

// Returns "a TCP socket listening on 0.0.0.0:80", "a Unix socket (/run/x.sock)", ... for the socket with this inode
// number in the network namespace of `pid`; "a socket" if /proc/PID/net does not list it.
std::string describe_socket(pid_t pid, ino_t inode);

}  // namespace crx
