// The connection of a session process to the supervisor. Includes Asio: only .cpp files of this folder include this
// header.
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

namespace crx::session {

// All calls must come from the process's only thread.
class SupervisorPort {
 public:
  SupervisorPort(asio::any_io_executor executor, Fd link);

  struct Answer {
    ipc::SupervisorNotice notice;
    std::vector<Fd> fds;
  };
  // Sends a request with a new tag and waits for the answer; throws Error(peer) when none comes in time.
  asio::awaitable<Answer> ask(ipc::SessionNotice notice);
  // Sends a notice that has no answer.
  void tell(const ipc::SessionNotice& notice);
  // Passes packets that are not answers to `news`; returns when the supervisor has ended.
  asio::awaitable<void> listen(std::function<void(Answer)> news);

 private:
  asio::posix::stream_descriptor link_;
  asio::steady_timer answered_;  // never expires: cancelled when an answer has arrived
  std::map<uint32_t, std::optional<Answer>> asked_;
  uint32_t last_tag_ = 0;
};

}  // namespace crx::session
