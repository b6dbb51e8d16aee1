#include "agent-dst/session/session.hpp"

#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <asio/co_spawn.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>

#include "agent-dst/session/nested_messages.hpp"
#include "common/base/clock.hpp"
#include "common/base/log.hpp"
#include "wire/failure.hpp"
#include "wire/limits.hpp"

namespace crx::session {
namespace {

using wire::FrameHeader;
using wire::FrameType;
using wire::SessionMessage;

constexpr int64_t kSilenceMs = 15'000;
constexpr int64_t kExitNewsMs = 5'000;
constexpr int64_t kGoodbyeMs = 5'000;
constexpr int64_t kLongestWaitMs = 3'600'000;  // a timer counts in nanoseconds, so it has no room for any limit

[[noreturn]] void broke(std::string what) {
  throw Error(ErrorCode::peer, "following the protocol", std::move(what))
      .with_hint("check that both hosts run the same version of crx");
}

std::string status_text(int status) {
  if (WIFSIGNALED(status)) return fmt::format("was killed by signal {}", WTERMSIG(status));
  return fmt::format("ended with status {}", WEXITSTATUS(status));
}

}  // namespace

Session::Session(std::string id, unsigned data_streams, bool wait_for_exit, std::shared_ptr<wire::Channel> control,
                 std::unique_ptr<EnginePort> engine, ipc::SharedFigures& figures)
    : id_(std::move(id)),
      wait_for_exit_(wait_for_exit),
      control_(std::make_shared<wire::ControlStream>(control, kSilenceMs)),
      engine_(std::move(engine)),
      changed_(control->executor(), asio::steady_timer::time_point::max()),
      marks_(data_streams + 1),
      data_(data_streams + 1),
      figures_(figures),
      active_us_(monotonic_us()),
      idle_timer_(control->executor()) {}

void Session::check_open() const {
  if (source_gone_) throw Error(ErrorCode::peer, "serving a session", "the session is over");
}

asio::awaitable<void> Session::changed() {
  asio::error_code ignored;
  co_await changed_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

void Session::send(const SessionMessage& message) {
  last_sent_ = message.body_case();
  control_->send(wire::frame(FrameType::message, message.SerializeAsString()));
}

asio::awaitable<void> Session::run(std::string hello) {
  const auto self = shared_from_this();
  asio::co_spawn(changed_.get_executor(), control_->writer(), [self](std::exception_ptr thrown) {
    self->writer_done_ = true;
    if (thrown) self->lose("the connection to the source was interrupted");
    self->notify();
  });
  asio::co_spawn(changed_.get_executor(), read_engine(), [self](std::exception_ptr) {
    self->engine_gone_ = true;
    self->notify();
  });
  try {
    co_await on_message(std::move(hello));
    asio::co_spawn(changed_.get_executor(), read_control(), [self](std::exception_ptr thrown) {
      self->connection_ended(thrown, "the source closed the connection");
    });
  } catch (const Error&) {  // the end of a session
    connection_ended(std::current_exception(), {});
  }
  asio::co_spawn(changed_.get_executor(), watch_idleness(), [self](std::exception_ptr) {});
  while (!engine_gone_) co_await changed();
  figures_.stage = ipc::SessionStage::over;
  idle_timer_.cancel();
  co_await finish();
}

// A source that is alive sends pings, so it could hold its place for ever. After Go the engine is on its own.
asio::awaitable<void> Session::watch_idleness() {
  const auto self = shared_from_this();
  for (;;) {
    if (engine_gone_ || source_gone_ || go_) co_return;
    const int64_t left_ms = idle_ms_ - (monotonic_us() - active_us_) / 1000;
    if (left_ms <= 0) break;
    asio::error_code ignored;
    idle_timer_.expires_after(std::chrono::milliseconds(std::min(left_ms, kLongestWaitMs)));
    co_await idle_timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  const Error idle = Error(ErrorCode::refused, "serving a session",
                           fmt::format("nothing has come from the source for {} s", idle_ms_ / 1000))
                         .with_hint("start again, or start the agent with a longer --idle-timeout");
  send(wire::failure_message(idle));
  lose(idle.what());
}

// The engine has ended. Its last messages are queued already; add what it could not report, then close.
asio::awaitable<void> Session::finish() {
  asio::steady_timer limit(changed_.get_executor(), std::chrono::milliseconds(kExitNewsMs));
  limit.async_wait([self = shared_from_this()](const asio::error_code&) { self->notify(); });
  while (!exit_ && limit.expiry() > asio::steady_timer::clock_type::now()) co_await changed();
  limit.cancel();
  explain_exit();
  const bool root_runs = exit_ && exit_->status == 0 && exit_->root != 0;
  while (wait_for_exit_ && root_runs && !root_status_ && !source_gone_ && !stopping_) co_await changed();
  if (wait_for_exit_ && root_status_ && !source_gone_) {
    SessionMessage exited;
    exited.mutable_exited()->set_wait_status(*root_status_);
    send(exited);
  }
  control_->channel()->set_hard_deadline(Deadline::in_ms(kGoodbyeMs));
  control_->finish();
  while (!writer_done_) co_await changed();
  co_await control_->channel()->shutdown();
  for (const auto& channel : data_) {
    if (channel) channel->close();
  }
  source_gone_ = true;
  notify();
  engine_->close();
}

void Session::explain_exit() {
  if (source_gone_ || !exit_ || exit_->status == 0) return;
  if (last_sent_ == SessionMessage::kFailure || last_sent_ == SessionMessage::kNever) return;
  const std::string why = fmt::format("the engine of crx-agent {}", status_text(exit_->status));
  if (go_ && exit_->state.get() == "NEVER") {
    SessionMessage never;
    never.mutable_never()->set_reason(why);
    send(never);
    return;
  }
  if (last_sent_ == SessionMessage::kResumed) return;
  send(wire::failure_message(
      Error(ErrorCode::bug, "restoring", why).with_hint("read the log of crx-agent on that host")));
}

// A connection of the source has ended: properly, or by the exception `thrown`.
void Session::connection_ended(const std::exception_ptr& thrown, const std::string& in_order) {
  if (source_gone_) return;
  std::optional<Error> error;
  try {
    if (thrown) std::rethrow_exception(thrown);
  } catch (const Error& known) {
    error = known;
  } catch (const std::exception& other) {
    error = Error(ErrorCode::bug, "serving a session", other.what());
  }
  // If the engine ended first, finish() reports that to the source; the source has done nothing wrong.
  if (engine_gone_ || engine_->gone()) return;
  if (error) send(wire::failure_message(*error));
  lose(error ? error->what() : in_order);
}

void Session::lose(const std::string& reason) {
  if (source_gone_) return;
  source_gone_ = true;
  log::info("session {}: the source disconnected: {}", id_, reason);
  engine_->send_closed(reason);
  notify();
}

void Session::engine_exited(const ipc::SupervisorNotice& notice) {
  exit_ = notice;
  notify();
}

void Session::root_exited(int wait_status) {
  root_status_ = wait_status;
  notify();
}

void Session::stop() {
  stopping_ = true;
  notify();
}

asio::awaitable<void> Session::read_engine() {
  const auto self = shared_from_this();
  EnginePort::Packet packet;
  std::string partial;
  while (co_await engine_->receive(packet)) {
    be_active();
    if (packet.header.kind == ipc::SessionKind::release) {
      engine_->give_back_slot(packet.header.number);
      notify();
    } else if (packet.header.kind == ipc::SessionKind::message) {
      partial += packet.body;
      if (packet.header.more != 0) continue;
      // Only the kind is inspected; the bytes are forwarded as the engine made them.
      SessionMessage message;
      if (message.ParseFromString(partial)) {
        last_sent_ = message.body_case();
        prepared_ = prepared_ || message.has_prepared();
        note(message);
      }
      if (!source_gone_) control_->send(wire::frame(FrameType::message, partial));
      partial.clear();
    }
  }
}

asio::awaitable<void> Session::on_message(std::string payload) {
  SessionMessage message;
  if (!message.ParseFromString(payload)) broke("a message that is none");
  check_limits(message);
  if (!wire::source_may_send(message.body_case()) || message.has_query() || message.has_hello() != (messages_ == 0)) {
    broke(fmt::format("a source may not send {} here", kind_name(message.body_case())));
  }
  if (message.has_go()) {
    if (!prepared_ || go_) broke("GO without a prepared session");
    go_ = true;
  }
  if (message.has_decided() && !go_) broke("Decided before GO");
  note(message);
  // Serialised again, so that the engine parses bytes that protobuf wrote here and not bytes that the peer wrote.
  message.DiscardUnknownFields();
  if (rewrites_images_) rewrite_nested(message);
  std::string canonical = message.SerializeAsString();
  co_await engine_->send_message(std::move(canonical));
  ++messages_;
  be_active();
  notify();
}

asio::awaitable<void> Session::read_control() {
  const auto self = shared_from_this();
  const auto channel = control_->channel();
  for (;;) {
    FrameHeader header{};
    const bool there = co_await wire::read_frame_header(channel, header);
    if (!there) co_return;
    std::string payload = co_await wire::read_payload(channel, header.length);
    count_bytes(header);
    check_open();
    switch (header.type) {
      case FrameType::message:
        co_await on_message(std::move(payload));
        break;
      case FrameType::end_round:
        co_await reach_mark(0, wire::get_u32(reinterpret_cast<const std::byte*>(payload.data())));
        break;
      case FrameType::ping:
        control_->send(wire::frame(FrameType::pong, payload));
        break;
      case FrameType::pong:
        break;
      default:
        broke(fmt::format("a frame of type {} on the control connection", static_cast<int>(header.type)));
    }
  }
}

asio::awaitable<void> Session::run_data(std::shared_ptr<wire::Channel> channel, uint32_t stream) {
  const auto self = shared_from_this();
  check_open();
  if (stream >= data_.size() || data_[stream]) broke(fmt::format("a data connection as stream {}", stream));
  data_[stream] = channel;
  co_await wire::write_text(channel, wire::frame_u32(FrameType::joined, stream));
  wire::Decompressor decompressor;
  std::vector<std::byte> scratch;
  std::exception_ptr thrown;
  try {
    for (;;) {
      FrameHeader header{};
      const bool there = co_await wire::read_frame_header(channel, header);
      if (!there) break;
      count_bytes(header);
      if (header.type == FrameType::pages) {
        co_await read_batch(channel, stream, header.length, decompressor, scratch);
      } else if (header.type == FrameType::end_round) {
        std::string payload = co_await wire::read_payload(channel, header.length);
        co_await reach_mark(stream, wire::get_u32(reinterpret_cast<const std::byte*>(payload.data())));
      } else {
        broke(fmt::format("a frame of type {} on a data connection", static_cast<int>(header.type)));
      }
    }
  } catch (const std::exception&) {  // the end of a session
    thrown = std::current_exception();
  }
  connection_ended(thrown, "the source closed a data connection");
  channel->close();
}

asio::awaitable<uint32_t> Session::take_slot() {
  for (;;) {
    check_open();
    const uint32_t slot = engine_->try_take_slot();
    if (slot != ipc::kNoSlot) co_return slot;
    co_await changed();
  }
}

asio::awaitable<void> Session::read_batch(std::shared_ptr<wire::Channel> channel, uint32_t stream, std::size_t length,
                                          wire::Decompressor& decompressor, std::vector<std::byte>& scratch) {
  std::vector<std::byte> head(wire::kBatchHeaderBytes);
  co_await channel->read(head);
  head.resize(wire::head_bytes(head));
  if (head.size() > length) broke("a batch longer than its frame");
  co_await channel->read(std::span<std::byte>(head).subspan(wire::kBatchHeaderBytes));
  wire::PageBatch batch = wire::parse_head(head, length);
  count_pages(batch);
  be_active();

  const std::size_t content = batch.content_bytes();
  uint32_t slot = ipc::kNoSlot;
  if (content > 0) {
    slot = co_await take_slot();
    const std::span<std::byte> to = engine_->slot(slot).first(content);
    if (batch.encoding == wire::PageEncoding::raw) {
      co_await channel->read(to);
    } else {
      scratch.resize(batch.encoded_bytes);
      co_await channel->read(std::span<std::byte>(scratch));
      decompressor.decompress(scratch, to);
    }
  }
  while (epoch_ != marks_[stream] || static_cast<int32_t>(messages_ - batch.after_messages) < 0) {
    check_open();
    co_await changed();
  }
  check_open();
  batch.encoding = wire::PageEncoding::raw;
  batch.encoded_bytes = static_cast<uint32_t>(content);
  std::string plain = wire::encode_head(batch);
  co_await engine_->send_pages(slot, std::move(plain));
}

asio::awaitable<void> Session::reach_mark(uint32_t stream, uint32_t round) {
  const uint32_t mark = ++marks_[stream];
  be_active();
  if (*std::min_element(marks_.begin(), marks_.end()) == mark) {
    // The last stream to arrive delivers the end of the round; nothing else can be delivered meanwhile.
    co_await engine_->send_round(round);
    ++epoch_;
    notify();
  }
  while (epoch_ < mark) {
    check_open();
    co_await changed();
  }
}

}  // namespace crx::session
