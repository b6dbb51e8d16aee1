// The requirements of a tree on the host that restores it, and the check which of them are not met.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/kernel/sockets/inet_address.hpp"

namespace crx {

// A port on which a socket listens or receives datagrams.
struct NeededPort {
  InetAddress address;
  int type = 0;  // SOCK_STREAM, SOCK_DGRAM
  bool reuse_address = false, reuse_port = false, v6only = false;
  // The remote ports of the tree's own connections at this port. A closed connection of this host with the same ends
  // (TIME_WAIT) makes way when that connection is made again. nullopt: not known, so any closed connection may be such.
  std::optional<std::set<uint16_t>> peer_ports = std::set<uint16_t>();
  std::string used_by;
};

struct HostRequirements {
  std::vector<NeededPort> ports;
  std::set<uint32_t> uids, gids;
  uint64_t tasks = 0;  // number of tasks; each thread counts
  uint64_t memory_bytes = 0;
  std::map<uint64_t, uint64_t> huge_pages;  // hugetlb memory: page size in bytes -> number of pages
};

// A requirement that is not met, as one line for the user: "object reason; remedy".
struct Shortfall {
  std::string object, reason, remedy;
};

// Reports ports in use, a lack of huge pages, ids that this user namespace does not have, and PIDs and memory that the
// control group does not grant. Changes nothing; each port is bound for a moment.
std::vector<Shortfall> check_host_requirements(const HostRequirements& needs);
// Reports missing kernel features and privileges without which nothing can be restored. Forks children, and takes
// milliseconds.
std::vector<Shortfall> check_features();

}  // namespace crx
