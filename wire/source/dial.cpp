#include "wire/source/dial.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <asio/ip/address.hpp>
#include <asio/redirect_error.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <cstdlib>
#include <vector>

#include "common/base/error.hpp"
#include "wire/connection/congestion.hpp"
#include "wire/failure.hpp"

namespace crx::wire {
namespace {

using asio::ip::tcp;
constexpr char kDialStep[] = "connecting to the destination";
constexpr int kRttSamples = 3;

asio::awaitable<std::vector<tcp::endpoint>> resolve(Endpoint to) {
  asio::error_code ec;
  const auto address = asio::ip::make_address(to.host, ec);
  std::vector<tcp::endpoint> found;
  if (!ec) {
    found.emplace_back(address, to.port);
    co_return found;
  }
  tcp::resolver resolver(co_await asio::this_coro::executor);
  const std::string service = std::to_string(to.port);
  const auto results = co_await resolver.async_resolve(to.host, service, asio::redirect_error(asio::use_awaitable, ec));
  if (ec) {
    throw Error(ErrorCode::peer, kDialStep, to.host + ": " + ec.message()).with_hint("check the name given to --to");
  }
  for (const auto& entry : results) found.push_back(entry.endpoint());
  co_return found;
}

// One attempt to connect; `ec` receives the result.
asio::awaitable<void> connect_one(tcp::socket& socket, tcp::endpoint endpoint, Deadline deadline,
                                  const std::string& congestion_control, asio::error_code& ec) {
  socket.open(endpoint.protocol(), ec);
  if (ec) co_return;
  ask_congestion_control(socket.native_handle(), congestion_control);
  asio::steady_timer timer(socket.get_executor());
  auto state = std::make_shared<int>(0);  // 1: done, 2: expired
  if (deadline.left_ns() != INT64_MAX) {
    timer.expires_after(std::chrono::nanoseconds(std::max<int64_t>(deadline.left_ns(), 0)));
    timer.async_wait([state, &socket](const asio::error_code& cancelled) {
      if (cancelled || *state != 0) return;
      *state = 2;
      asio::error_code ignored;
      socket.close(ignored);
    });
  }
  co_await socket.async_connect(endpoint, asio::redirect_error(asio::use_awaitable, ec));
  if (*state == 2) ec = asio::error::timed_out;
  *state = *state == 2 ? 2 : 1;
}

}  // namespace

asio::awaitable<std::shared_ptr<Channel>> dial(Endpoint to, std::shared_ptr<const TlsContext> tls, Deadline deadline,
                                               std::string congestion_control, std::optional<DataKey> key) {
  const std::vector<tcp::endpoint> addresses = co_await resolve(to);
  tcp::socket socket(co_await asio::this_coro::executor);
  asio::error_code ec = asio::error::host_not_found;
  for (const tcp::endpoint& address : addresses) {
    asio::error_code ignored;
    socket.close(ignored);
    co_await connect_one(socket, address, deadline, congestion_control, ec);
    if (!ec || deadline.passed()) break;
  }
  if (ec) {
    throw Error(ErrorCode::peer, kDialStep, to.text() + ": " + ec.message())
        .with_hint("is crx-agent running there, and may this host reach that port?");
  }
  auto channel = std::make_shared<Channel>(std::move(socket), std::move(tls), to.text(), to.host);
  channel->set_hard_deadline(deadline);
  if (key) channel->join(*key);
  co_await channel->handshake();
  channel->set_hard_deadline(Deadline::never());
  co_return channel;
}

asio::awaitable<int64_t> measure_rtt(std::shared_ptr<Channel> channel) {
  int64_t best_us = INT64_MAX;
  for (int i = 0; i < kRttSamples; ++i) {
    const int64_t before_us = monotonic_us();
    co_await write_text(channel, frame_u64(FrameType::ping, static_cast<uint64_t>(i)));
    FrameHeader header{};
    const bool there = co_await read_frame_header(channel, header);
    std::string payload;
    if (there) payload = co_await read_payload(channel, header.length);
    SessionMessage message;
    if (there && header.type == FrameType::message && message.ParseFromString(payload) && message.has_failure()) {
      throw to_error(message.failure(), channel->peer());
    }
    if (!there || header.type != FrameType::pong) {
      throw Error(ErrorCode::peer, "greeting the destination", channel->peer() + " did not answer as a crx-agent does");
    }
    best_us = std::min(best_us, monotonic_us() - before_us);
  }
  co_return best_us;
}

}  // namespace crx::wire
