// The front's questions to the supervisor. Includes Asio: for .cpp files of the front only.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "agent-dst/ipc/packet.hpp"
#include "agent-dst/ipc/supervisor_packets.hpp"
#include "common/base/clock.hpp"

namespace crx::front {

// All calls on the front's one thread.
class SupervisorPort {
 public:
  SupervisorPort(asio::any_io_executor executor, Fd link);

  struct Answer {
    ipc::SupervisorNotice notice;
    std::vector<Fd> fds;
  };
  // Sends with a fresh tag and waits for the answer; throws Error(peer) when none comes in time.
  asio::awaitable<Answer> ask(ipc::FrontNotice notice);
  void tell(const ipc::FrontNotice& notice);
  // Hands what is no answer to `news`; returns when the supervisor is gone.
  asio::awaitable<void> listen(std::function<void(const ipc::SupervisorNotice&)> news);

 private:
  asio::posix::stream_descriptor link_;
  asio::steady_timer answered_;  // never expires: cancelled when an answer came
  std::map<uint32_t, std::optional<Answer>> asked_;
  uint32_t last_tag_ = 0;
};

}  // namespace crx::front
