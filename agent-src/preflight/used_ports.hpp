// The ports that a tree occupies, for the destination to look whether they are free there.
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

// Of sockets that listen, and of bound UDP sockets that are not connected. The task may run; each descriptor is
// duplicated for the moment of looking. Sockets that come and go meanwhile may be missing.
std::vector<UsedPort> used_ports(pid_t pid);

}  // namespace crx
