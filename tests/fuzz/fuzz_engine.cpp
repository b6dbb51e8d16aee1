// The order of messages, and their content, as an engine receives them from the front: packets and page slots. Each
// piece of the input is a packet. Whatever needs privileges fails here, so an engine ends before it makes a vessel.
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <memory>

#include "agent-dst/engine/engine.hpp"
#include "agent-dst/ipc/engine_link.hpp"
#include "common/base/error.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/fuzz/sandbox.hpp"

namespace {

using namespace crx;

constexpr int kMostPackets = 64;  // they wait in the socket until the engine runs

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  fuzz::enter_sandbox();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  auto [engine, front] = ipc::make_pair();
  auto [mine, supervisor] = ipc::make_pair();
  for (int i = 0; i < kMostPackets && !input.empty(); ++i) {
    ipc::SessionHeader header;
    header.kind = static_cast<ipc::SessionKind>(input.byte());
    header.more = input.byte() & 1;
    header.number = input.byte();
    const std::string_view body = input.piece();
    if (ipc::send_packet(front.get(), std::as_bytes(std::span(&header, 1)),
                         std::as_bytes(std::span(body.data(), body.size()))) != ipc::SendResult::sent)
      break;
  }
  ::shutdown(front.get(), SHUT_WR);
  EngineOptions options;
  options.session = "0123456789abcdef0123456789abcdef";
  options.peer = "a peer";
  options.store = fuzz::enter_sandbox() + "/store";
  options.root_resumed = [](pid_t) { std::abort(); };
  static_cast<void>(
      run_engine(std::make_unique<ipc::EngineLink>(std::move(engine), ipc::make_ring(), mine.get()), options));
  fuzz::empty_sandbox();
  return 0;
}
