#include "agent-dst/session/supervisor_port.hpp"

#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <cstring>

#include "common/base/error.hpp"

namespace crx::session {
namespace {

constexpr int64_t kAnswerMs = 10'000;

}  // namespace

SupervisorPort::SupervisorPort(asio::any_io_executor executor, Fd link)
    : link_(executor, link.release()), answered_(executor, asio::steady_timer::time_point::max()) {}

void SupervisorPort::tell(const ipc::SessionNotice& notice) {
  // The queue has room for far more packets than requests can be pending at a time.
  (void)ipc::send_packet(link_.native_handle(), std::as_bytes(std::span(&notice, 1)));
}

asio::awaitable<SupervisorPort::Answer> SupervisorPort::ask(ipc::SessionNotice notice) {
  const uint32_t tag = ++last_tag_;
  notice.tag = tag;
  asked_.emplace(tag, std::nullopt);
  tell(notice);
  asio::steady_timer limit(link_.get_executor(), std::chrono::milliseconds(kAnswerMs));
  limit.async_wait([this](const asio::error_code& ec) {
    if (!ec) answered_.cancel();
  });
  while (!asked_.at(tag) && limit.expiry() > asio::steady_timer::clock_type::now()) {
    asio::error_code ignored;
    co_await answered_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  limit.cancel();
  std::optional<Answer> answer = std::move(asked_.at(tag));
  asked_.erase(tag);
  if (!answer) throw Error(ErrorCode::peer, "asking the supervisor", "it does not answer");
  co_return std::move(*answer);
}

asio::awaitable<void> SupervisorPort::listen(std::function<void(Answer)> news) {
  using Kind = ipc::SupervisorNotice::Kind;
  for (;;) {
    Answer answer;
    std::size_t bytes = 0;
    const auto result = ipc::receive_packet(link_.native_handle(), std::as_writable_bytes(std::span(&answer.notice, 1)),
                                            bytes, answer.fds);
    if (result == ipc::ReceiveResult::closed) co_return;
    if (result == ipc::ReceiveResult::would_block) {
      asio::error_code ec;
      co_await link_.async_wait(asio::posix::stream_descriptor::wait_read,
                                asio::redirect_error(asio::use_awaitable, ec));
      if (ec) co_return;
      continue;
    }
    if (bytes != sizeof answer.notice) co_return;
    const Kind kind = answer.notice.kind;
    if (kind == Kind::greeted || kind == Kind::engine || kind == Kind::refused || kind == Kind::state) {
      const auto place = asked_.find(answer.notice.tag);
      if (place != asked_.end()) place->second = std::move(answer);
      answered_.cancel();
    } else {
      news(std::move(answer));
    }
  }
}

}  // namespace crx::session
