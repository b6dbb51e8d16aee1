// A source's connections as the process of a session serves them: TLS, frames, messages and page batches, up to the
// packets that its engine receives. Each piece of the input is written to the control or the data connection.
#include <sys/socket.h>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <memory>
#include <string>
#include <vector>

#include "agent-dst/ipc/engine_link.hpp"
#include "agent-dst/session/session.hpp"
#include "common/base/error.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/fuzz/sandbox.hpp"
#include "tests/unit/certificates.hpp"
#include "wire/limits.hpp"

namespace {

using namespace crx;
using asio::ip::tcp;

constexpr char kSession[] = "0123456789abcdef0123456789abcdef";

struct Keys {
  Keys() {
    const test::TestCa ca;
    const std::string dir = fuzz::enter_sandbox() + "/keys";
    ca.issue(dir, "both", "DNS:localhost,IP:127.0.0.1");
    server = std::make_shared<wire::TlsContext>(wire::TlsRole::server, dir);
    client = std::make_shared<wire::TlsContext>(wire::TlsRole::client, dir);
  }
  std::shared_ptr<const wire::TlsContext> server, client;
};

const Keys& keys() {
  static const Keys both;
  return both;
}

struct Piece {
  bool to_data = false;
  std::string bytes;
};

// One connection, with both of its ends in this process.
struct Connection {
  explicit Connection(asio::io_context& io) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) std::abort();
    server = std::make_shared<wire::Channel>(tcp::socket(io, tcp::v4(), ends[0]), keys().server, "the source");
    client =
        std::make_shared<wire::Channel>(tcp::socket(io, tcp::v4(), ends[1]), keys().client, "the agent", "localhost");
  }
  std::shared_ptr<wire::Channel> server, client;
};

class Rig {
 public:
  Rig(asio::io_context& io, std::vector<Piece> pieces) : io_(io), pieces_(std::move(pieces)), control_(io), data_(io) {
    auto [engine, front] = ipc::make_pair();
    auto [mine, supervisor] = ipc::make_pair();
    Fd ring = ipc::make_ring();
    port_ = std::make_unique<session::EnginePort>(io.get_executor(), std::move(front), duplicate(ring.get()));
    readable_.emplace(io, duplicate(engine.get()).release());
    supervisor_ = std::move(supervisor);
    mine_ = std::move(mine);
    engine_ = std::make_unique<ipc::EngineLink>(std::move(engine), std::move(ring), mine_.get());
  }

  void start() {
    for (const Connection* each : {&control_, &data_}) {
      for (const auto& end : {each->server, each->client})
        asio::co_spawn(io_, shake(end), [this](std::exception_ptr failed) {
          if (failed) std::abort();
          if (++ready_ == 4) serve();
        });
    }
  }

 private:
  static asio::awaitable<void> shake(std::shared_ptr<wire::Channel> channel) { co_await channel->handshake(); }

  void serve() {
    wire::SessionMessage hello;
    hello.mutable_hello()->set_session(kSession);
    session_ = std::make_shared<session::Session>(kSession, 1, false, control_.server, std::move(port_), *figures_);
    session_->rewrite_images();
    asio::co_spawn(io_, session_->run(hello.SerializeAsString()), [](std::exception_ptr) {});
    asio::co_spawn(io_, session_->run_data(data_.server, 1), [](std::exception_ptr) {});
    asio::co_spawn(io_, write(), [](std::exception_ptr) {});
    asio::co_spawn(io_, be_engine(), [this](std::exception_ptr) {
      engine_.reset();
      readable_.reset();
      ipc::SupervisorNotice ended;
      ended.kind = ipc::SupervisorNotice::Kind::engine_exited;
      session_->engine_exited(ended);
    });
  }

  asio::awaitable<void> write() {
    for (const Piece& piece : pieces_) {
      const auto& to = piece.to_data ? data_.client : control_.client;
      std::string bytes = piece.bytes;
      co_await wire::write_text(to, std::move(bytes));
    }
    co_await data_.client->shutdown();
    co_await control_.client->shutdown();
    data_.client->close();
    control_.client->close();
  }

  // Answers as an engine does, so that Go may come.
  asio::awaitable<void> be_engine() {
    for (;;) {
      const auto event = engine_->receive(Deadline::in_ms(0));
      if (!event) {
        asio::error_code failed;
        co_await readable_->async_wait(asio::posix::stream_descriptor::wait_read,
                                       asio::redirect_error(asio::use_awaitable, failed));
        if (failed) co_return;
        continue;
      }
      if (std::holds_alternative<wire::LinkClosed>(*event)) co_return;
      if (const auto* pages = std::get_if<wire::PagesArrived>(&*event)) {
        unsigned sum = 0;
        for (const std::byte byte : pages->bytes) sum += static_cast<unsigned>(byte);
        last_sum_ = sum;
        engine_->release(pages->slot);
      }
      wire::SessionMessage answer;
      if (const auto* ended = std::get_if<wire::RoundEnded>(&*event)) {
        answer.mutable_round_done()->set_round(ended->round);
        engine_->send(answer);
      }
      const auto* message = std::get_if<wire::SessionMessage>(&*event);
      if (message != nullptr && message->has_prepare()) {
        answer.mutable_prepared();
        engine_->send(answer);
      }
      if (message != nullptr && message->has_abort()) co_return;
    }
  }

  asio::io_context& io_;
  std::vector<Piece> pieces_;
  Connection control_, data_;
  ipc::FiguresMemory figures_{ipc::FiguresMemory::make(), true};
  std::unique_ptr<session::EnginePort> port_;
  std::shared_ptr<session::Session> session_;
  Fd mine_, supervisor_;
  std::unique_ptr<ipc::EngineLink> engine_;
  std::optional<asio::posix::stream_descriptor> readable_;
  int ready_ = 0;
  volatile unsigned last_sum_ = 0;  // the pages are read, as an engine reads them
};

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  ::signal(SIGPIPE, SIG_IGN);
  fuzz::enter_sandbox();
  keys();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  std::vector<Piece> pieces;
  while (!input.empty()) {
    const bool to_data = (input.byte() & 1) != 0;
    pieces.push_back({to_data, std::string(input.piece())});
  }
  asio::io_context io(1);
  Rig rig(io, std::move(pieces));
  rig.start();
  constexpr std::chrono::seconds kHangs(60);  // long, for a busy machine
  const auto began = std::chrono::steady_clock::now();
  io.run_for(kHangs);
  if (std::chrono::steady_clock::now() - began >= kHangs) std::abort();
  return 0;
}
