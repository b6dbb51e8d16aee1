// The network addresses to which TCP and UDP sockets of a tree are bound.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "common/kernel/sockets/inet_address.hpp"

namespace crx {

struct UsedAddress {
  InetAddress address;
  bool may_be_missing = false;  // the socket has IP_FREEBIND or IP_TRANSPARENT
  std::string used_by;          // "pid 12 fd 3 (socket:[4711])"
};

// Returns the addresses of one running task, each socket once. Sockets without a port, and those closed meanwhile, are
// left out. Throws Error(victim_gone).
std::vector<UsedAddress> used_addresses(pid_t pid);

}  // namespace crx
