// NETLINK_SOCK_DIAG: what the kernel tells of sockets besides getsockopt(2). sock_diag(7), netlink(7).
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

// Part of what the kernel answers. Valid while it is shown.
using DiagBytes = std::span<const std::byte>;

// A conversation about the sockets of the network namespace that the calling thread was in at the first question.
class SockDiag {
 public:
  // Gets an answer: the struct that answers the request (unix_diag_msg, ...), with attributes behind it.
  using Visit = std::function<void(DiagBytes)>;

  // request: unix_diag_req, inet_diag_req_v2, packet_diag_req, ... All sockets that it describes, in the kernel's
  // order; those that come and go meanwhile may be missing or there. 0, or the errno that stopped it (ENOENT,
  // EPROTONOSUPPORT, EINVAL: the kernel cannot tell of such sockets).
  template <typename Request>
  [[nodiscard]] int list(const Request& request, const Visit& visit) {
    return ask(std::as_bytes(std::span(&request, 1)), true, visit);
  }
  // The one that it names. 0, or an errno: ENOENT, ESTALE for none.
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

// The beginning of an answer or attribute; zeroes where it is shorter than that.
template <typename T>
T diag_cast(DiagBytes bytes) {
  T value{};
  std::memcpy(&value, bytes.data(), std::min(sizeof value, bytes.size()));
  return value;
}

// The attributes behind the first head_bytes of an answer.
void each_diag_attribute(DiagBytes answer, std::size_t head_bytes,
                         const std::function<void(int type, DiagBytes content)>& visit);

}  // namespace crx
