// The rows of /proc/PID/net/{tcp,udp,raw,icmp}[6]: the inet sockets of a network namespace.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "common/kernel/sockets/inet_address.hpp"

namespace crx {

struct NetRow {
  InetAddress local, peer;             // both in plain() form
  uint32_t state = 0;                  // tcp_state
  uint64_t sending = 0, received = 0;  // bytes in the queues
  uint64_t inode = 0;                  // 0: no descriptor refers to it
};

// Reads the file `name` ("tcp", "tcp6", ...) of the network namespace of `pid`. Empty if there is no such file.
std::vector<NetRow> read_net_rows(pid_t pid, const char* name);

}  // namespace crx
