#include "agent-src/collect/sockets/unix_socket_table.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <utility>

#include "agent-src/collect/sockets/unix_name.hpp"

namespace crx {

void UnixSocketTable::read() const {
  if (std::exchange(is_read_, true)) return;
  for (UnixSocketInfo& info : list_unix_sockets()) {
    for (const uint32_t client : info.waiting) {
      if (client != 0) acceptors_[client] = info.inode;
    }
    sockets_.emplace(info.inode, std::move(info));
  }
}

const UnixSocketInfo* UnixSocketTable::find(uint32_t inode) const {
  read();
  const auto found = sockets_.find(inode);
  return found == sockets_.end() ? nullptr : &found->second;
}

std::optional<uint32_t> UnixSocketTable::acceptor_of(uint32_t client) const {
  read();
  const auto found = acceptors_.find(client);
  return found == acceptors_.end() ? std::nullopt : std::optional(found->second);
}

bool UnixSocketTable::may_reconnect(const UnixSocketInfo& info, uint32_t peer, const CollectOptions& options) const {
  const UnixSocketInfo* other = find(peer);
  const bool allowed = options.ext_unix_sk || options.external_unix.contains(info.inode);
  return allowed && info.type == SOCK_DGRAM && other != nullptr && other->named;
}

std::string UnixSocketTable::outside_reason(const UnixSocketInfo& info, uint32_t other,
                                            const std::vector<PipeHolder>& holders) const {
  const UnixSocketInfo* found = find(other);
  const std::string name = found == nullptr ? std::string() : printable_name(found->name);
  const char* what = info.state == kSocketListening ? "a connection to it waits to be accepted that was made"
                                                    : "its other end is held";
  return fmt::format("{} outside, by {}{}{}", what, describe(holders), name.empty() ? "" : ", under the name ", name);
}

}  // namespace crx
