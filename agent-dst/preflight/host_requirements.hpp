// What a tree needs of the host it comes to, and what of it is missing.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/kernel/sockets/inet_address.hpp"

namespace crx {

// A port that a socket listens on, or gets datagrams at.
struct NeededPort {
  InetAddress address;
  int type = 0;  // SOCK_STREAM, SOCK_DGRAM
  bool reuse_address = false, reuse_port = false, v6only = false;
  // Where the tree's connections at this port lead: those of the same ends that are over and linger here (TIME_WAIT)
  // give way when these are made again. Nothing: not known, and all may be such.
  std::optional<std::set<uint16_t>> peer_ports = std::set<uint16_t>();
  std::string used_by;
};

struct HostRequirements {
  std::vector<NeededPort> ports;
  std::set<uint32_t> uids, gids;
  uint64_t tasks = 0;  // threads count each
  uint64_t memory_bytes = 0;
  std::map<uint64_t, uint64_t> huge_pages;  // of hugetlb memory: size of a page -> how many
};

// One line for the user: "object reason; remedy".
struct Shortfall {
  std::string object, reason, remedy;
};

// Ports in use, huge pages that are not free, users that this user namespace does not have, PIDs and memory that the
// control group does not grant. Changes nothing; each port is bound for a moment.
std::vector<Shortfall> check_host_requirements(const HostRequirements& needs);
// What of the kernel and the privileges is missing without which nothing can be revived. Forks, and takes milliseconds.
std::vector<Shortfall> check_features();

}  // namespace crx
