// All unix sockets of the network namespace, as sock_diag lists them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent-src/collect/ipc/pipe_content.hpp"
#include "agent-src/collect/kind/collector.hpp"
#include "common/kernel/sockets/unix_diag.hpp"

namespace crx {

// Is read when it is first asked for, and is not read again: sockets that are younger are not in it. Single-threaded.
class UnixSocketTable {
 public:
  // By inode; nullptr where it is not in the table. The result lives as long as the table.
  const UnixSocketInfo* find(uint32_t inode) const;
  // The listening socket that has not accepted this client yet.
  std::optional<uint32_t> acceptor_of(uint32_t client) const;

  // Whether the options allow that `peer`, which stays behind, is found again by its name.
  bool may_reconnect(const UnixSocketInfo& info, uint32_t peer, const CollectOptions& options) const;
  // For a refusal: the other end of `info` is with `holders`, outside the tree.
  std::string outside_reason(const UnixSocketInfo& info, uint32_t other, const std::vector<PipeHolder>& holders) const;

 private:
  void read() const;

  mutable bool is_read_ = false;
  mutable std::map<uint32_t, UnixSocketInfo> sockets_;  // keyed by inode
  mutable std::map<uint32_t, uint32_t> acceptors_;      // client -> listening socket
};

}  // namespace crx
