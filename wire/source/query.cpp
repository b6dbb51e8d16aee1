// query_session() of connect.hpp: asks an agent for the outcome of a session, over a connection of its own.
#include <fmt/format.h>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <cstdlib>
#include <future>

#include "common/base/error.hpp"
#include "wire/connection/tls_dir.hpp"
#include "wire/failure.hpp"
#include "wire/limits.hpp"
#include "wire/source/connect.hpp"
#include "wire/source/dial.hpp"

namespace crx::wire {
namespace {

asio::awaitable<SessionState> ask(Endpoint to, std::shared_ptr<const TlsContext> tls, std::string session,
                                  Deadline deadline) {
  auto channel = co_await dial(to, std::move(tls), deadline);
  channel->set_hard_deadline(deadline);
  SessionMessage query;
  query.mutable_query()->set_session(session);
  co_await write_text(channel, frame(FrameType::message, query.SerializeAsString()));
  FrameHeader header{};
  const bool there = co_await read_frame_header(channel, header);
  SessionMessage answer;
  if (there && header.type == FrameType::message) {
    const std::string payload = co_await read_payload(channel, header.length);
    if (!answer.ParseFromString(payload)) answer.Clear();
  }
  if (answer.has_failure()) throw to_error(answer.failure(), to.text());
  if (!answer.has_session_state() || answer.session_state().session() != session) {
    throw Error(ErrorCode::peer, "asking about a session", to.text() + " gave no answer");
  }
  co_await channel->shutdown();
  co_return answer.session_state();
}

}  // namespace

SessionState query_session(const ConnectOptions& options, Deadline deadline) {
  auto tls = std::make_shared<TlsContext>(TlsRole::client, tls_dir_or_default(options.tls_dir), options.tls_crl);
  asio::io_context io;
  std::promise<SessionState> promise;
  asio::co_spawn(io, ask(options.to, std::move(tls), options.session, deadline),
                 [&promise](std::exception_ptr thrown, SessionState state) {
                   if (thrown)
                     promise.set_exception(thrown);
                   else
                     promise.set_value(std::move(state));
                 });
  io.run();
  return promise.get_future().get();
}

}  // namespace crx::wire
