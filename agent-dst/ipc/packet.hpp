// Datagrams between the processes of crx-agent: SOCK_SEQPACKET socket pairs; descriptors are passed as SCM_RIGHTS.
#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "common/base/fd.hpp"

namespace crx::ipc {

inline constexpr std::size_t kMaxPacketBytes = 64 << 10;

// A connected pair of sockets (socketpair(2), CLOEXEC). Throws Error.
std::pair<Fd, Fd> make_pair();

enum class SendResult { sent, would_block, closed };
// Sends one datagram made of two pieces, without blocking.
SendResult send_packet(int fd, std::span<const std::byte> head, std::span<const std::byte> body = {},
                       std::span<const int> fds = {});

enum class ReceiveResult { received, would_block, closed };
// Receives one datagram into `to`, without blocking; sets `bytes` to its length. Descriptors that came with it are
// appended to `fds` (CLOEXEC), or closed if there are too many. A datagram larger than `to` counts as closed.
ReceiveResult receive_packet(int fd, std::span<std::byte> to, std::size_t& bytes, std::vector<Fd>& fds);

}  // namespace crx::ipc
