#include "agent-dst/front/front.hpp"

#include <fmt/format.h>
#include <sys/prctl.h>

#include <algorithm>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <csignal>
#include <map>

#include "agent-dst/front/crowd.hpp"
#include "agent-dst/front/http_server.hpp"
#include "agent-dst/front/limits.hpp"
#include "agent-dst/front/sandbox.hpp"
#include "agent-dst/front/session.hpp"
#include "agent-dst/front/status_pages.hpp"
#include "agent-dst/front/supervisor_port.hpp"
#include "common/base/journal.hpp"
#include "common/base/log.hpp"
#include "wire/failure.hpp"
#include "wire/limits.hpp"

namespace crx::front {
namespace {

using asio::ip::tcp;
using wire::Channel;
using wire::FrameHeader;
using wire::FrameType;
using wire::SessionMessage;

constexpr unsigned kLogBurst = 20;  // lines about refused connections at once, and then one a second
constexpr int64_t kLogRefillMs = 1'000;
constexpr int64_t kRefusalMs = 2'000;

class Front {
 public:
  Front(asio::io_context& io, FrontOptions& options, std::shared_ptr<const wire::TlsContext> tls);
  void start();

 private:
  asio::awaitable<void> accept_all();
  asio::awaitable<void> serve(tcp::socket socket);
  asio::awaitable<void> greet(std::shared_ptr<Channel> channel, Crowd::Place& place);
  asio::awaitable<void> answer_query(std::shared_ptr<Channel> channel, std::string session);
  asio::awaitable<void> serve_session(std::shared_ptr<Channel> channel, SessionMessage hello, std::string payload,
                                      Crowd::Place& place);
  asio::awaitable<void> serve_data(std::shared_ptr<Channel> channel, std::string payload, Crowd::Place& place);
  void check_hello(const wire::Hello& hello) const;
  void check_allowed(const wire::PeerIdentity& who) const;
  void on_news(SupervisorPort::Answer news);
  void take_keys(std::vector<Fd> fds) noexcept;
  void tell(ipc::FrontNotice::Kind kind, const std::string& session);
  void known(const std::shared_ptr<Channel>& channel);
  void refused(const std::string& peer, const std::string& why);
  void stop_if_idle();
  std::optional<HttpPage> status_page(std::string_view path) const;

  asio::io_context& io_;
  std::shared_ptr<const wire::TlsContext> tls_;
  std::vector<std::string> allow_;
  int64_t greeting_ms_, idle_ms_;
  tcp::acceptor acceptor_;
  SupervisorPort supervisor_;
  ipc::AgentCounters& counters_;
  std::optional<HttpServer> http_;
  Crowd strangers_;  // connections that have not authenticated, by address
  Crowd guests_;     // connections that have, and have no session yet, by certificate
  log::Quota refusals_{kLogBurst, kLogRefillMs};
  bool stopping_ = false;
  std::map<std::string, std::shared_ptr<Session>> sessions_;
};

tcp::acceptor adopt_listener(asio::io_context& io, Fd fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    throw_errno("starting the front", "the listening socket");
  }
  return {io, address.ss_family == AF_INET6 ? tcp::v6() : tcp::v4(), fd.release()};
}

Front::Front(asio::io_context& io, FrontOptions& options, std::shared_ptr<const wire::TlsContext> tls)
    : io_(io),
      tls_(std::move(tls)),
      allow_(options.allow),
      greeting_ms_(options.greeting_timeout_ms),
      idle_ms_(options.idle_timeout_ms),
      acceptor_(adopt_listener(io, std::move(options.listener))),
      supervisor_(io.get_executor(), std::move(options.supervisor)),
      counters_(*options.counters),
      strangers_(max_of_owner(options.max_sessions), 2 * max_of_owner(options.max_sessions)),
      guests_(max_of_owner(options.max_sessions), 2 * max_of_owner(options.max_sessions)) {
  if (options.metrics) {
    http_.emplace(io, adopt_listener(io, std::move(options.metrics)),
                  [this](std::string_view path) { return status_page(path); });
  }
}

std::optional<HttpPage> Front::status_page(std::string_view path) const {
  std::vector<SessionFigures> open;
  for (const auto& [id, session] : sessions_) open.push_back(session->figures());
  if (path == "/metrics") return HttpPage{"text/plain; version=0.0.4; charset=utf-8", metrics_text(counters_, open)};
  if (path == "/") return HttpPage{"text/html; charset=utf-8", status_html(counters_, open)};
  return std::nullopt;
}

void Front::start() {
  asio::co_spawn(io_, supervisor_.listen([this](SupervisorPort::Answer news) { on_news(std::move(news)); }),
                 [this](std::exception_ptr) { io_.stop(); });  // the front cannot work without a supervisor
  asio::co_spawn(io_, accept_all(), [](std::exception_ptr thrown) {
    if (thrown) log::error("crx-agent no longer accepts connections");
  });
  if (http_) http_->start();
  ipc::FrontNotice ready;
  ready.kind = ipc::FrontNotice::Kind::ready;
  supervisor_.tell(ready);
}

asio::awaitable<void> Front::accept_all() {
  while (!stopping_) {
    asio::error_code ec;
    tcp::socket socket(io_);
    co_await acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, ec));
    if (stopping_) co_return;
    if (ec) {
      // The process is out of descriptors, or the peer has gone away: give the other connections time to finish.
      refused("a connection that cannot be accepted", ec.message());
      asio::steady_timer pause(io_, std::chrono::milliseconds(100));
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ec));
      continue;
    }
    ++counters_.connections;
    asio::co_spawn(io_, serve(std::move(socket)), [](std::exception_ptr thrown) {
      if (thrown) log::error("serving a connection failed");
    });
  }
}

// Called when the peer has identified itself: the deadline for unknown connections does not apply any more.
void Front::known(const std::shared_ptr<Channel>& channel) {
  channel->set_hard_deadline(Deadline::never());
}

// Strangers cause these lines, so their number is limited.
void Front::refused(const std::string& peer, const std::string& why) {
  if (const auto left_out = refusals_.take(monotonic_us())) log::warn("{}: {}{}", peer, why, *left_out);
}

asio::awaitable<void> Front::serve(tcp::socket socket) {
  asio::error_code ec;
  const auto remote = socket.remote_endpoint(ec);
  const std::string peer = ec ? "a peer" : fmt::format("{}:{}", remote.address().to_string(), remote.port());
  auto channel = std::make_shared<Channel>(std::move(socket), tls_, peer);
  channel->set_hard_deadline(Deadline::in_ms(greeting_ms_));
  Crowd::Place place = strangers_.enter(owner_of(remote.address()), [channel] { channel->close(); });
  std::optional<Error> failed;
  try {
    co_await greet(channel, place);
  } catch (const Error& error) {
    failed = error;
  } catch (const std::exception& error) {
    failed = Error(ErrorCode::bug, "serving a connection", error.what());
  }
  if (failed) {
    refused(peer, failed->what());
    ++counters_.connections_refused;
    channel->set_hard_deadline(Deadline::in_ms(kRefusalMs));
    channel->try_write(wire::frame(FrameType::message, wire::failure_message(*failed).SerializeAsString()));
    co_await channel->shutdown();
  }
  channel->close();
}

// place: that of a stranger, who becomes a guest, and leaves when a session has taken the connection.
asio::awaitable<void> Front::greet(std::shared_ptr<Channel> channel, Crowd::Place& place) {
  co_await channel->handshake();
  const wire::PeerIdentity who = channel->identity();
  check_allowed(who);
  place = guests_.enter(who.fingerprint, [channel] { channel->close(); });
  FrameHeader header{};
  bool there = co_await wire::read_frame_header(channel, header);
  for (; there && header.type == FrameType::ping; there = co_await wire::read_frame_header(channel, header)) {
    std::string token = co_await wire::read_payload(channel, header.length);
    std::string pong = wire::frame(FrameType::pong, token);
    co_await wire::write_text(channel, std::move(pong));
  }
  if (!there) co_return;
  if (header.length > wire::kMaxFirstMessageBytes) {
    throw Error(ErrorCode::peer, "following the protocol", "the first message is too long");
  }
  std::string payload = co_await wire::read_payload(channel, header.length);
  known(channel);
  if (header.type == FrameType::join) {
    co_await serve_data(channel, std::move(payload), place);
    co_return;
  }
  SessionMessage message;
  if (header.type != FrameType::message || !message.ParseFromString(payload) ||
      !(message.has_hello() || message.has_query())) {
    throw Error(ErrorCode::peer, "following the protocol", "a connection starts with Hello, Query or Join");
  }
  check_limits(message);
  if (message.has_query()) {
    std::string session = message.query().session();
    co_await answer_query(channel, std::move(session));
  } else {
    co_await serve_session(channel, std::move(message), std::move(payload), place);
  }
}

void Front::check_allowed(const wire::PeerIdentity& who) const {
  if (allow_.empty()) return;
  for (const std::string& name : who.names) {
    if (std::find(allow_.begin(), allow_.end(), name) != allow_.end()) return;
  }
  throw Error(ErrorCode::refused, "authenticating", fmt::format("{} is not allowed to move processes here", who.name))
      .with_hint("add it to the agent's --allow");
}

void Front::check_hello(const wire::Hello& hello) const {
  if (hello.protocol() != wire::kProtocolVersion) {
    throw Error(ErrorCode::unsupported, "greeting",
                fmt::format("the source speaks protocol {}, this agent {}", hello.protocol(), wire::kProtocolVersion))
        .with_hint("install the same version of crx on both hosts");
  }
  if (!is_session_id(hello.session()) || hello.streams() < 1 || hello.streams() > wire::kMaxStreams) {
    throw Error(ErrorCode::peer, "greeting", "the session id or the number of streams is not valid");
  }
  if (stopping_) throw Error(ErrorCode::refused, "greeting", "this agent is being stopped");
}

asio::awaitable<void> Front::answer_query(std::shared_ptr<Channel> channel, std::string session) {
  if (!is_session_id(session)) throw Error(ErrorCode::peer, "answering a query", "the session id is not valid");
  ipc::FrontNotice question;
  question.kind = ipc::FrontNotice::Kind::query;
  question.session.set(session);
  const SupervisorPort::Answer answer = co_await supervisor_.ask(question);
  if (answer.notice.kind != ipc::SupervisorNotice::Kind::state) {
    throw Error(ErrorCode::kernel, "answering a query", answer.notice.text.get());
  }
  SessionMessage reply;
  reply.mutable_session_state()->set_session(session);
  reply.mutable_session_state()->set_state(answer.notice.state.get());
  reply.mutable_session_state()->set_detail(answer.notice.text.get());
  channel->set_hard_deadline(Deadline::in_ms(greeting_ms_));
  std::string text = wire::frame(FrameType::message, reply.SerializeAsString());
  co_await wire::write_text(channel, std::move(text));
  co_await channel->shutdown();
}

asio::awaitable<void> Front::serve_session(std::shared_ptr<Channel> channel, SessionMessage hello, std::string payload,
                                           Crowd::Place& place) {
  check_hello(hello.hello());
  const std::string id = hello.hello().session();
  if (sessions_.count(id) != 0) throw Error(ErrorCode::refused, "greeting", "this session is open already");
  ipc::FrontNotice wanted;
  wanted.kind = ipc::FrontNotice::Kind::want_engine;
  wanted.session.set(id);
  wanted.wait = hello.hello().wait() ? 1 : 0;
  wanted.new_pids = hello.hello().new_pids() ? 1 : 0;
  wanted.purpose = hello.hello().has_store()    ? ipc::Purpose::store
                   : hello.hello().check_only() ? ipc::Purpose::check
                                                : ipc::Purpose::move;
  const wire::PeerIdentity who = channel->identity();
  wanted.certificate.set(who.fingerprint);
  wanted.peer.set(fmt::format("{} ({})", who.name, channel->peer()));
  wanted.names.set_lines(who.names);
  SupervisorPort::Answer answer = co_await supervisor_.ask(wanted);
  if (answer.notice.kind != ipc::SupervisorNotice::Kind::engine || answer.fds.size() != 2) {
    throw Error(ErrorCode::refused, "starting an engine", answer.notice.text.get()).with_hint(answer.notice.hint.get());
  }
  place.leave();
  auto engine = std::make_unique<EnginePort>(io_.get_executor(), std::move(answer.fds[0]), std::move(answer.fds[1]));
  auto session = std::make_shared<Session>(id, hello.hello().streams(), hello.hello().wait(), channel,
                                           std::move(engine), counters_);
  session->limit_idleness(idle_ms_);
  session->on_refusal([this, id] { tell(ipc::FrontNotice::Kind::session_refused, id); });
  sessions_[id] = session;
  log::info("session {} of {} ({})", id, who.name, channel->peer());
  co_await session->run(std::move(payload));
  sessions_.erase(id);
  const SessionFigures seen = session->figures();
  ipc::FrontNotice closed;
  closed.kind = ipc::FrontNotice::Kind::session_closed;
  closed.session.set(id);
  closed.processes = seen.processes;
  closed.wire_bytes = seen.wire_bytes;
  closed.pages = seen.content_pages + seen.zero_pages;
  closed.downtime_us = seen.downtime_us;
  supervisor_.tell(closed);
  stop_if_idle();
}

void Front::tell(ipc::FrontNotice::Kind kind, const std::string& session) {
  ipc::FrontNotice notice;
  notice.kind = kind;
  notice.session.set(session);
  supervisor_.tell(notice);
}

asio::awaitable<void> Front::serve_data(std::shared_ptr<Channel> channel, std::string payload, Crowd::Place& place) {
  const wire::Join join = wire::parse_join(payload);
  const auto found = sessions_.find(join.session);
  const wire::PeerIdentity who = channel->identity();
  if (found == sessions_.end() || found->second->fingerprint() != who.fingerprint) {
    throw Error(ErrorCode::peer, "joining a data connection", "there is no such session");
  }
  const std::shared_ptr<Session> session = found->second;
  place.leave();
  co_await session->run_data(channel, join.stream);
}

// Connections that are open keep the keys with which they began. fds: as with SupervisorNotice::Kind::keys.
void Front::take_keys(std::vector<Fd> fds) noexcept {
  try {
    if (fds.size() < 3) throw Error(ErrorCode::bug, "taking keys", "the supervisor sent too few files");
    wire::OpenTlsFiles files{tls_->files(), std::move(fds[0]), std::move(fds[1]), std::move(fds[2]), {}};
    if (fds.size() > 3) files.crl = std::move(fds[3]);
    tls_ = std::make_shared<wire::TlsContext>(wire::TlsRole::server, files);
    log::info("new connections use the certificates and keys that are in {} now", tls_->files().dir);
  } catch (const std::exception& error) {
    log::error("certificates and keys stay as they were: {}", error.what());
  }
}

void Front::on_news(SupervisorPort::Answer news) {
  using Kind = ipc::SupervisorNotice::Kind;
  const ipc::SupervisorNotice& notice = news.notice;
  if (notice.kind == Kind::keys) return take_keys(std::move(news.fds));
  if (notice.kind == Kind::stop) {
    stopping_ = true;
    asio::error_code ignored;
    acceptor_.close(ignored);
    if (http_) http_->stop();
    for (const auto& [id, session] : sessions_) session->stop();
    stop_if_idle();
    return;
  }
  const auto found = sessions_.find(notice.session.get());
  if (found == sessions_.end()) return;
  if (notice.kind == Kind::engine_exited) found->second->engine_exited(notice);
  if (notice.kind == Kind::root_exited) found->second->root_exited(notice.status);
}

void Front::stop_if_idle() {
  if (stopping_ && sessions_.empty()) io_.stop();
}

}  // namespace

int run_front(FrontOptions options) {
  const int supervisor = options.supervisor.get();
  allow_descriptors(options.max_sessions);
  try {
    ::signal(SIGPIPE, SIG_IGN);
    const auto tls = std::make_shared<wire::TlsContext>(wire::TlsRole::server, options.tls_dir, options.tls_crl);
    close_all_but({options.listener.get(), options.metrics.get(), supervisor});
    asio::io_context io(1);
    enter_sandbox();
    Front front(io, options, tls);
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
