#include "agent-dst/front/front.hpp"

#include <fmt/format.h>

#include <array>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <csignal>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent-dst/front/agent_health.hpp"
#include "agent-dst/front/crowd.hpp"
#include "agent-dst/front/http_server.hpp"
#include "agent-dst/front/limits.hpp"
#include "agent-dst/front/metrics_text.hpp"
#include "agent-dst/front/open_sessions.hpp"
#include "agent-dst/front/status_page.hpp"
#include "agent-dst/ipc/packet.hpp"
#include "agent-dst/ipc/session_figures.hpp"
#include "agent-dst/ipc/supervisor_packets.hpp"
#include "agent-dst/sandbox/sandbox.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "wire/connection/data_key.hpp"

#if defined(__GNUC__) && !defined(__clang__)
// g++ 12 reports Asio's coroutine frames (aligned_alloc behind operator new) as a mismatch.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace crx::front {
namespace {

using asio::ip::tcp;
using asio::posix::stream_descriptor;
using SocketPtr = std::shared_ptr<tcp::socket>;

constexpr unsigned kLogBurst = 20;  // lines about refused connections at once, and then one a second
constexpr int64_t kLogRefillMs = 1'000;
constexpr int kPageAttempts = 8;

HttpPage health_page(const ipc::AgentCounters& counters) {
  const std::vector<std::string> problems = health_problems(counters, monotonic_us() / 1000);
  HttpPage page{"text/plain; charset=utf-8", problems.empty() ? "ok\n" : "", problems.empty() ? 200U : 503U};
  for (const std::string& problem : problems) page.body += problem + "\n";
  return page;
}

class Front {
 public:
  Front(asio::io_context& io, FrontOptions& options);
  void start();

 private:
  asio::awaitable<void> accept_all();
  asio::awaitable<void> serve(SocketPtr socket);
  asio::awaitable<std::string> look(SocketPtr socket, ipc::FrontNotice& notice);
  asio::awaitable<void> hand_over(SocketPtr socket, ipc::FrontNotice notice);
  asio::awaitable<void> listen();
  asio::awaitable<void> sample();
  void on_notice(const ipc::SupervisorNotice& notice, std::vector<Fd> fds);
  void refused(const std::string& peer, const std::string& why);
  std::optional<HttpPage> status_page(std::string_view path) const;

  asio::io_context& io_;
  int64_t greeting_ms_;
  tcp::acceptor acceptor_;
  stream_descriptor supervisor_;
  ipc::AgentCounters& counters_;
  const ipc::SharedBoard* board_;
  std::optional<HttpServer> http_;
  Crowd strangers_;  // connections whose first bytes have not come, by address
  log::Quota refusals_{kLogBurst, kLogRefillMs};
  OpenSessions sessions_;
};

sockaddr_storage address_of(int fd, decltype(&::getpeername) get) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (get(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) address = {};
  return address;
}

tcp::acceptor adopt_listener(asio::io_context& io, Fd fd) {
  const sockaddr_storage address = address_of(fd.get(), ::getsockname);
  return {io, address.ss_family == AF_INET6 ? tcp::v6() : tcp::v4(), fd.release()};
}

void close(const SocketPtr& socket) {
  asio::error_code ignored;
  socket->close(ignored);
}

Front::Front(asio::io_context& io, FrontOptions& options)
    : io_(io),
      greeting_ms_(options.greeting_timeout_ms),
      acceptor_(adopt_listener(io, std::move(options.listener))),
      supervisor_(io, options.supervisor.release()),
      counters_(*options.counters),
      board_(options.board),
      strangers_(max_of_owner(options.max_sessions), 2 * max_of_owner(options.max_sessions)) {
  if (options.metrics) {
    http_.emplace(io, adopt_listener(io, std::move(options.metrics)),
                  [this](std::string_view path) { return status_page(path); });
  }
}

// A session that ends meanwhile would be counted twice, or not at all: then the page is made again.
std::optional<HttpPage> Front::status_page(std::string_view path) const {
  if (path == "/healthz") return health_page(counters_);
  if (path != "/metrics" && path != "/" && path != "/status.json") return std::nullopt;
  HttpPage page;
  for (int i = 0; i < kPageAttempts; ++i) {
    const uint64_t changes = counters_.changes;
    const auto open = sessions_.list();
    if (path == "/metrics") {
      page = {"text/plain; version=0.0.4; charset=utf-8", metrics_text(counters_, open)};
    } else {
      const auto lists = board_ != nullptr ? board_->read() : std::make_unique<ipc::BoardLists>();
      const StatusView view{counters_, open, *lists, clock_ns(CLOCK_REALTIME), monotonic_us() / 1000};
      if (path == "/")
        page = {"text/html; charset=utf-8", status_html(view)};
      else
        page = {"application/json", status_json(view)};
    }
    if (changes % 2 == 0 && changes == counters_.changes) break;
  }
  return page;
}

void Front::start() {
  asio::co_spawn(io_, listen(), [this](std::exception_ptr) { io_.stop(); });  // there is no use without a supervisor
  asio::co_spawn(io_, accept_all(), [](std::exception_ptr thrown) {
    if (thrown) log::error("crx-agent no longer accepts connections");
  });
  if (http_) {
    http_->start();
    asio::co_spawn(io_, sample(), [](std::exception_ptr thrown) {
      if (thrown) log::error("crx-agent no longer measures the rates of sessions");
    });
  }
  ipc::FrontNotice ready;
  (void)ipc::send_packet(supervisor_.native_handle(), std::as_bytes(std::span(&ready, 1)));
}

asio::awaitable<void> Front::accept_all() {
  for (;;) {
    asio::error_code ec;
    const auto socket = std::make_shared<tcp::socket>(io_);
    co_await acceptor_.async_accept(*socket, asio::redirect_error(asio::use_awaitable, ec));
    if (ec) {
      // The process is out of descriptors, or the peer has gone away: give the other connections time to finish.
      refused("a connection that cannot be accepted", ec.message());
      asio::steady_timer pause(io_, std::chrono::milliseconds(100));
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ec));
      continue;
    }
    ++counters_.connections;
    asio::co_spawn(io_, serve(socket), [](std::exception_ptr thrown) {
      if (thrown) log::error("serving a connection failed");
    });
  }
}

// Strangers cause these lines, so their number is limited.
void Front::refused(const std::string& peer, const std::string& why) {
  ++counters_.connections_refused;
  if (const auto left_out = refusals_.take(monotonic_us())) log::warn("{}: {}{}", peer, why, *left_out);
}

asio::awaitable<void> Front::serve(SocketPtr socket) {
  const sockaddr_storage address = address_of(socket->native_handle(), ::getpeername);
  const Crowd::Place place = strangers_.enter(owner_of(address), [socket] { close(socket); });
  asio::steady_timer limit(io_, std::chrono::milliseconds(greeting_ms_));
  limit.async_wait([socket](const asio::error_code& cancelled) {
    if (!cancelled) close(socket);
  });
  ipc::FrontNotice notice;
  const std::string fault = co_await look(socket, notice);
  limit.cancel();
  if (fault.empty())
    co_await hand_over(socket, notice);
  else
    refused(address_text(address), fault);
  close(socket);
}

// Finds out which kind of connection it is; returns the reason if it is none. Of a control connection no byte is taken,
// of a data connection the preamble.
asio::awaitable<std::string> Front::look(SocketPtr socket, ipc::FrontNotice& notice) {
  std::array<std::byte, wire::kPreambleBytes> bytes{};
  std::size_t have = 0;
  bool peeked = false;
  while (have < bytes.size()) {
    asio::error_code ec;
    co_await socket->async_wait(tcp::socket::wait_read, asio::redirect_error(asio::use_awaitable, ec));
    if (ec || !socket->is_open()) co_return "it said nothing";
    const ssize_t n = peeked ? ::recv(socket->native_handle(), bytes.data() + have, bytes.size() - have, MSG_DONTWAIT)
                             : ::recv(socket->native_handle(), bytes.data(), 1, MSG_DONTWAIT | MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n <= 0) co_return "it closed the connection";
    if (peeked) {
      have += static_cast<std::size_t>(n);
      continue;
    }
    peeked = true;
    notice.kind = ipc::FrontNotice::Kind::control;
    if (wire::may_be_tls(bytes[0])) co_return std::string();
    if (!wire::may_be_preamble(bytes[0])) co_return "it does not speak crx's protocol";
  }
  const auto token = wire::parse_preamble(bytes);
  if (!token) co_return "it does not speak crx's protocol";
  notice.kind = ipc::FrontNotice::Kind::data;
  notice.token = *token;
  co_return std::string();
}

asio::awaitable<void> Front::hand_over(SocketPtr socket, ipc::FrontNotice notice) {
  for (;;) {
    const int fd = socket->native_handle();
    const auto sent =
        ipc::send_packet(supervisor_.native_handle(), std::as_bytes(std::span(&notice, 1)), {}, std::span(&fd, 1));
    if (sent != ipc::SendResult::would_block) co_return;
    asio::error_code ec;
    co_await supervisor_.async_wait(stream_descriptor::wait_write, asio::redirect_error(asio::use_awaitable, ec));
    if (ec || !socket->is_open()) co_return;
  }
}

// Returns when the supervisor has ended, or asks for the end.
asio::awaitable<void> Front::listen() {
  for (;;) {
    ipc::SupervisorNotice notice;
    std::vector<Fd> fds;
    std::size_t bytes = 0;
    const auto result =
        ipc::receive_packet(supervisor_.native_handle(), std::as_writable_bytes(std::span(&notice, 1)), bytes, fds);
    if (result == ipc::ReceiveResult::would_block) {
      asio::error_code ec;
      co_await supervisor_.async_wait(stream_descriptor::wait_read, asio::redirect_error(asio::use_awaitable, ec));
      if (ec) co_return;
      continue;
    }
    if (result == ipc::ReceiveResult::closed || bytes != sizeof notice) co_return;
    if (notice.kind == ipc::SupervisorNotice::Kind::stop) co_return;
    on_notice(notice, std::move(fds));
  }
}

asio::awaitable<void> Front::sample() {
  asio::steady_timer pause(io_);
  for (;;) {
    asio::error_code ec;
    pause.expires_after(std::chrono::milliseconds(OpenSessions::kSampleMs));
    co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ec));
    if (ec) co_return;
    sessions_.sample();
  }
}

void Front::on_notice(const ipc::SupervisorNotice& notice, std::vector<Fd> fds) {
  using Kind = ipc::SupervisorNotice::Kind;
  const std::string id = notice.session.get();
  if (notice.kind == Kind::closed) sessions_.remove(id);
  if (notice.kind == Kind::opened && fds.size() == 1) sessions_.add(id, notice.text.get(), fds[0]);
}

}  // namespace

int run_front(FrontOptions options) {
  const int supervisor = options.supervisor.get();
  allow_descriptors(options.max_sessions);
  try {
    ::signal(SIGPIPE, SIG_IGN);
    close_all_but({options.listener.get(), options.metrics.get(), supervisor});
    asio::io_context io(1);
    enter_sandbox(Sandbox::front);
    Front front(io, options);
    front.start();
    io.run();
    return 0;
  } catch (const Error& error) {
    ipc::FrontNotice failed;
    failed.kind = ipc::FrontNotice::Kind::failed;
    failed.text.set(error.what());
    (void)ipc::send_packet(supervisor, std::as_bytes(std::span(&failed, 1)));
    return 1;
  }
}

}  // namespace crx::front
