#include "agent-dst/session/session_process.hpp"

#include <fmt/format.h>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <csignal>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "agent-dst/ipc/session_figures.hpp"
#include "agent-dst/sandbox/sandbox.hpp"
#include "agent-dst/session/session.hpp"
#include "agent-dst/session/signer_port.hpp"
#include "agent-dst/session/supervisor_port.hpp"
#include "common/base/journal.hpp"
#include "common/base/log.hpp"
#include "wire/connection/remote_key.hpp"
#include "wire/failure.hpp"
#include "wire/limits.hpp"

namespace crx::session {
namespace {

using asio::ip::tcp;
using wire::Channel;
using wire::FrameHeader;
using wire::FrameType;
using wire::SessionMessage;

constexpr int64_t kRefusalMs = 2'000;
constexpr unsigned kMaxDataConnections = 2 * wire::kMaxStreams;  // those included that have not joined

tcp::socket adopt_socket(asio::io_context& io, Fd fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0)
    throw_errno("serving a connection", "getsockname");
  return {io, address.ss_family == AF_INET6 ? tcp::v6() : tcp::v4(), fd.release()};
}

class SessionProcess {
 public:
  SessionProcess(asio::io_context& io, SessionOptions& options);
  void start();

 private:
  asio::awaitable<void> serve();
  asio::awaitable<void> greet();
  asio::awaitable<void> authenticate();
  asio::awaitable<void> answer_query(std::string session);
  asio::awaitable<void> serve_session(SessionMessage hello, std::string payload);
  asio::awaitable<void> serve_data(std::shared_ptr<Channel> channel);
  asio::awaitable<void> join(std::shared_ptr<Channel> channel);
  asio::awaitable<void> turn_away(std::shared_ptr<Channel> channel, Error error);
  static void check_hello(const wire::Hello& hello);
  void on_news(SupervisorPort::Answer news);
  void on_data(std::string peer, std::vector<Fd> fds);
  void tell(ipc::SessionNotice::Kind kind, const std::string& session);

  asio::io_context& io_;
  std::shared_ptr<wire::RemoteKey> key_;
  std::shared_ptr<const wire::TlsContext> tls_;
  int64_t greeting_ms_, idle_ms_;
  SupervisorPort supervisor_;
  std::optional<SignerPort> signer_;  // until the peer has authenticated
  std::string handshake_;             // the messages of the control connection's
  std::size_t signed_ = 0;            // bytes of it that the signer has seen
  ipc::FiguresMemory figures_;
  std::shared_ptr<Channel> control_;
  std::shared_ptr<Session> session_;  // once its engine runs
  std::optional<wire::DataKey> data_key_;
  std::vector<SupervisorPort::Answer> early_;  // news that came before the session was made
  unsigned data_connections_ = 0;
};

SessionProcess::SessionProcess(asio::io_context& io, SessionOptions& options)
    : io_(io),
      key_(std::move(options.key)),
      tls_(std::move(options.tls)),
      greeting_ms_(options.greeting_timeout_ms),
      idle_ms_(options.idle_timeout_ms),
      supervisor_(io.get_executor(), std::move(options.supervisor)),
      signer_(std::move(options.signer)),
      figures_(options.figures, true),
      control_(std::make_shared<Channel>(adopt_socket(io, std::move(options.socket)), tls_, options.peer)) {
  options.figures.reset();
  control_->record_handshake(handshake_);
  key_->sign = [this](std::string_view digest) {
    if (!signer_) return std::string();
    signed_ = handshake_.size();
    return signer_->sign(handshake_, control_->chosen_suite(), digest);
  };
}

void SessionProcess::start() {
  asio::co_spawn(io_, supervisor_.listen([this](SupervisorPort::Answer news) { on_news(std::move(news)); }),
                 [this](std::exception_ptr) { io_.stop(); });  // nothing can be finished without a supervisor
  asio::co_spawn(io_, serve(), [this](std::exception_ptr thrown) {
    if (thrown) log::error("serving a connection failed");
    io_.stop();
  });
}

asio::awaitable<void> SessionProcess::serve() {
  control_->set_hard_deadline(Deadline::in_ms(greeting_ms_));
  std::optional<Error> failed;
  try {
    co_await greet();
  } catch (const Error& error) {
    failed = error;
  } catch (const std::exception& error) {
    failed = Error(ErrorCode::bug, "serving a connection", error.what());
  }
  if (failed) co_await turn_away(control_, *failed);
  control_->close();
}

// Strangers cause the lines of the log that say so, so the supervisor writes them and limits their number.
asio::awaitable<void> SessionProcess::turn_away(std::shared_ptr<Channel> channel, Error error) {
  ipc::SessionNotice notice;
  notice.kind = ipc::SessionNotice::Kind::turned_away;
  notice.text.set(error.what());
  supervisor_.tell(notice);
  channel->set_hard_deadline(Deadline::in_ms(kRefusalMs));
  channel->try_write(wire::frame(FrameType::message, wire::failure_message(error).SerializeAsString()));
  co_await channel->shutdown();
}

asio::awaitable<void> SessionProcess::greet() {
  co_await control_->handshake();
  co_await authenticate();
  FrameHeader header{};
  bool there = co_await wire::read_frame_header(control_, header);
  for (; there && header.type == FrameType::ping; there = co_await wire::read_frame_header(control_, header)) {
    std::string token = co_await wire::read_payload(control_, header.length);
    std::string pong = wire::frame(FrameType::pong, token);
    co_await wire::write_text(control_, std::move(pong));
  }
  if (!there) co_return;
  if (header.length > wire::kMaxFirstMessageBytes) {
    throw Error(ErrorCode::peer, "following the protocol", "the first message is too long");
  }
  std::string payload = co_await wire::read_payload(control_, header.length);
  control_->set_hard_deadline(Deadline::never());
  SessionMessage message;
  if (header.type != FrameType::message || !message.ParseFromString(payload) ||
      !(message.has_hello() || message.has_query())) {
    throw Error(ErrorCode::peer, "following the protocol", "a control connection starts with Hello or Query");
  }
  check_limits(message);
  if (message.has_query()) {
    std::string session = message.query().session();
    co_await answer_query(std::move(session));
  } else {
    co_await serve_session(std::move(message), std::move(payload));
  }
}

// The signer tells the supervisor who the peer is; the supervisor decides whether it may come here.
asio::awaitable<void> SessionProcess::authenticate() {
  signer_->vouch(std::string_view(handshake_).substr(signed_));
  signer_.reset();
  handshake_.clear();
  ipc::SessionNotice notice;
  notice.kind = ipc::SessionNotice::Kind::authenticated;
  const SupervisorPort::Answer answer = co_await supervisor_.ask(notice);
  if (answer.notice.kind != ipc::SupervisorNotice::Kind::greeted)
    throw Error(ErrorCode::refused, "authenticating", answer.notice.text.get()).with_hint(answer.notice.hint.get());
}

void SessionProcess::check_hello(const wire::Hello& hello) {
  if (hello.protocol() != wire::kProtocolVersion) {
    throw Error(ErrorCode::unsupported, "greeting",
                fmt::format("the source speaks protocol {}, this agent {}", hello.protocol(), wire::kProtocolVersion))
        .with_hint("install the same version of crx on both hosts");
  }
  if (!is_session_id(hello.session()) || hello.streams() < 1 || hello.streams() > wire::kMaxStreams) {
    throw Error(ErrorCode::peer, "greeting", "the session id or the number of streams is not valid");
  }
}

asio::awaitable<void> SessionProcess::answer_query(std::string session) {
  if (!is_session_id(session)) throw Error(ErrorCode::peer, "answering a query", "the session id is not valid");
  ipc::SessionNotice question;
  question.kind = ipc::SessionNotice::Kind::query;
  question.session.set(session);
  const SupervisorPort::Answer answer = co_await supervisor_.ask(question);
  if (answer.notice.kind != ipc::SupervisorNotice::Kind::state) {
    throw Error(ErrorCode::kernel, "answering a query", answer.notice.text.get());
  }
  SessionMessage reply;
  reply.mutable_session_state()->set_session(session);
  reply.mutable_session_state()->set_state(answer.notice.state.get());
  reply.mutable_session_state()->set_detail(answer.notice.text.get());
  control_->set_hard_deadline(Deadline::in_ms(greeting_ms_));
  std::string text = wire::frame(FrameType::message, reply.SerializeAsString());
  co_await wire::write_text(control_, std::move(text));
  co_await control_->shutdown();
}

asio::awaitable<void> SessionProcess::serve_session(SessionMessage hello, std::string payload) {
  check_hello(hello.hello());
  const std::string id = hello.hello().session();
  data_key_ = control_->data_key();
  ipc::SessionNotice wanted;
  wanted.kind = ipc::SessionNotice::Kind::want_engine;
  wanted.session.set(id);
  wanted.token = data_key_->token;
  wanted.wait = hello.hello().wait() ? 1 : 0;
  wanted.new_pids = hello.hello().new_pids() ? 1 : 0;
  wanted.purpose = hello.hello().has_store()    ? ipc::Purpose::store
                   : hello.hello().check_only() ? ipc::Purpose::check
                                                : ipc::Purpose::move;
  SupervisorPort::Answer answer = co_await supervisor_.ask(wanted);
  if (answer.notice.kind != ipc::SupervisorNotice::Kind::engine || answer.fds.size() != 2) {
    throw Error(ErrorCode::refused, "starting an engine", answer.notice.text.get()).with_hint(answer.notice.hint.get());
  }
  auto engine = std::make_unique<EnginePort>(io_.get_executor(), std::move(answer.fds[0]), std::move(answer.fds[1]));
  session_ = std::make_shared<Session>(id, hello.hello().streams(), hello.hello().wait(), control_, std::move(engine),
                                       *figures_);
  session_->limit_idleness(idle_ms_);
  // The images of a set for the store stay as they came: their digests may be signed, and nobody here parses them.
  if (wanted.purpose != ipc::Purpose::store) session_->rewrite_images();
  session_->on_refusal([this, id] { tell(ipc::SessionNotice::Kind::session_refused, id); });
  for (SupervisorPort::Answer& news : std::exchange(early_, {})) on_news(std::move(news));
  log::info("session {} of {} ({})", id, control_->identity().name, control_->peer());
  co_await session_->run(std::move(payload));
  const ipc::SessionFigures seen = figures_.read();
  ipc::SessionNotice closed;
  closed.kind = ipc::SessionNotice::Kind::session_closed;
  closed.session.set(id);
  closed.processes = seen.processes;
  closed.wire_bytes = seen.wire_bytes;
  closed.pages = seen.content_pages + seen.zero_pages;
  closed.downtime_us = seen.downtime_us;
  supervisor_.tell(closed);
}

void SessionProcess::tell(ipc::SessionNotice::Kind kind, const std::string& session) {
  ipc::SessionNotice notice;
  notice.kind = kind;
  notice.session.set(session);
  supervisor_.tell(notice);
}

// A data connection is past its preamble. Only the source can have sent one with this session's token, so too many of
// them do no harm to others.
void SessionProcess::on_data(std::string peer, std::vector<Fd> fds) {
  if (fds.size() != 1 || !session_ || data_connections_ >= kMaxDataConnections) return;
  const auto channel = std::make_shared<Channel>(adopt_socket(io_, std::move(fds[0])), tls_, std::move(peer));
  channel->join(*data_key_);
  ++data_connections_;
  asio::co_spawn(io_, serve_data(channel), [this](std::exception_ptr thrown) {
    if (thrown) log::error("serving a data connection failed");
    --data_connections_;
  });
}

asio::awaitable<void> SessionProcess::serve_data(std::shared_ptr<Channel> channel) {
  channel->set_hard_deadline(Deadline::in_ms(greeting_ms_));
  std::optional<Error> failed;
  try {
    co_await join(channel);
  } catch (const Error& error) {
    failed = error;
  } catch (const std::exception& error) {
    failed = Error(ErrorCode::bug, "serving a data connection", error.what());
  }
  if (failed) co_await turn_away(channel, *failed);
  channel->close();
}

asio::awaitable<void> SessionProcess::join(std::shared_ptr<Channel> channel) {
  co_await channel->handshake();
  FrameHeader header{};
  const bool there = co_await wire::read_frame_header(channel, header);
  if (!there) co_return;
  if (header.type != FrameType::join)
    throw Error(ErrorCode::peer, "following the protocol", "a data connection starts with Join");
  const std::string payload = co_await wire::read_payload(channel, header.length);
  const wire::Join join = wire::parse_join(payload);
  if (join.session != session_->id())
    throw Error(ErrorCode::peer, "joining a data connection", "there is no such session");
  channel->set_hard_deadline(Deadline::never());
  co_await session_->run_data(channel, join.stream);
}

void SessionProcess::on_news(SupervisorPort::Answer news) {
  using Kind = ipc::SupervisorNotice::Kind;
  if (!session_) return early_.push_back(std::move(news));
  if (news.notice.kind == Kind::data) on_data(news.notice.text.get(), std::move(news.fds));
  if (news.notice.kind == Kind::stop) session_->stop();
  if (news.notice.kind == Kind::engine_exited) session_->engine_exited(news.notice);
  if (news.notice.kind == Kind::root_exited) session_->root_exited(news.notice.status);
}

}  // namespace

int run_session(SessionOptions options) {
  ::signal(SIGPIPE, SIG_IGN);
  close_all_but({options.socket.get(), options.supervisor.get(), options.signer.get(), options.figures.get()});
  asio::io_context io(1);
  enter_sandbox(Sandbox::session);
  SessionProcess process(io, options);
  process.start();
  io.run();
  return 0;
}

}  // namespace crx::session
