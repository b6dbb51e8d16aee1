// The network addresses that the TCP and UDP sockets of a tree have.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "common/kernel/sockets/inet_address.hpp"

namespace crx {

struct UsedAddress {
  InetAddress address;
  bool may_be_missing = false;  // IP_FREEBIND, IP_TRANSPARENT
  std::string used_by;          // "pid 12 fd 3 (socket:[4711])"
};

// Of one running task; each socket once. Those without a port are left out, and those that vanish meanwhile. Throws
// Error(victim_gone).
std::vector<UsedAddress> used_addresses(pid_t pid);

}  // namespace crx
