// NETLINK_SOCK_DIAG: information on sockets that getsockopt(2) does not give. sock_diag(7), netlink(7).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <vector>

#include "common/base/fd.hpp"

namespace crx {

// A part of the kernel's answer. Valid only during the call that receives it.
using DiagBytes = std::span<const std::byte>;

// Sends requests about the sockets of the network namespace that the calling thread was in at the first request.
class SockDiag {
 public:
  // Receives an answer: the struct that belongs to the request (unix_diag_msg, ...), followed by attributes.
  using Visit = std::function<void(DiagBytes)>;

  // Lists all sockets that the request describes (unix_diag_req, inet_diag_req_v2, packet_diag_req, ...), in the
  // kernel's order; sockets that appear or disappear during the listing may be missing. Returns 0 or an errno value
  // (ENOENT, EPROTONOSUPPORT, EINVAL: the kernel has no information on such sockets).
  template <typename Request>
  [[nodiscard]] int list(const Request& request, const Visit& visit) {
    return ask(std::as_bytes(std::span(&request, 1)), true, visit);
  }
  // Finds the one socket that the request names. Returns 0 or an errno value: ENOENT or ESTALE when there is none.
  template <typename Request>
  [[nodiscard]] int find(const Request& request, const Visit& visit) {
    return ask(std::as_bytes(std::span(&request, 1)), false, visit);
  }

 private:
  int ask(DiagBytes request, bool all, const Visit& visit);

  Fd netlink_;
  uint32_t sequence_ = 0;
  std::vector<std::byte> room_;
};

// The beginning of an answer or attribute as a T; missing bytes are zero.
template <typename T>
T diag_cast(DiagBytes bytes) {
  T value{};
  std::memcpy(&value, bytes.data(), std::min(sizeof value, bytes.size()));
  return value;
}

// Calls visit for each attribute after the first head_bytes of an answer.
void each_diag_attribute(DiagBytes answer, std::size_t head_bytes,
                         const std::function<void(int type, DiagBytes content)>& visit);

}  // namespace crx
