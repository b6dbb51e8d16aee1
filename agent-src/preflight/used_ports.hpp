// The ports that a tree occupies, so that the destination can check whether they are free there.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "common/kernel/sockets/inet_address.hpp"

namespace crx {

struct UsedPort {
  InetAddress address;
  int type = 0;  // SOCK_STREAM, SOCK_DGRAM
  bool reuse_address = false, reuse_port = false, v6only = false;
  std::string used_by;  // "pid 12 fd 3"
};

// Returns the ports of listening sockets, and of bound UDP sockets that are not connected. The task may run; each
// descriptor is duplicated for a moment. Sockets that are opened or closed meanwhile may be missing.
std::vector<UsedPort> used_ports(pid_t pid);

}  // namespace crx
