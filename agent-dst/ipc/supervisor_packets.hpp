// What the supervisor hears and says: fixed structures over SOCK_SEQPACKET pairs, between copies of one
// binary.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace crx::ipc {

// Text in a fixed array, always terminated.
template <std::size_t N>
struct Text {
  char bytes[N] = {};
  void set(std::string_view text) {
    const std::size_t n = std::min(text.size(), N - 1);
    std::memcpy(bytes, text.data(), n);
    std::memset(bytes + n, 0, N - n);
  }
  std::string get() const { return {bytes, ::strnlen(bytes, N - 1)}; }
};

enum class Purpose : uint32_t { move = 0, check, store };

struct FrontNotice {
  enum class Kind : uint32_t {
    ready = 1,        // it listens
    failed,           // it could not start: text
    want_engine,      // an authenticated Hello: session, peer, wait, new_pids, purpose; the answer carries the same tag
    query,            // what became of session? answered with the same tag
    session_closed,   // everything of a session has been sent to the source: session and what was counted of it
    session_refused,  // preflight found what cannot be moved
  };
  Kind kind = Kind::ready;
  uint32_t tag = 0;
  uint32_t wait = 0;
  uint32_t new_pids = 0;
  Purpose purpose = Purpose::move;
  uint32_t processes = 0;
  uint64_t wire_bytes = 0;
  uint64_t pages = 0;
  int64_t downtime_us = -1;  // -1: it was not resumed
  Text<40> session;
  Text<400> peer;
  Text<2048> text;
};

struct SupervisorNotice {
  enum class Kind : uint32_t {
    engine = 1,     // with two descriptors: the session's socket and the page ring
    refused,        // text, hint
    state,          // answer to query: state, text
    engine_exited,  // session, status (as waitpid gives it), root, state and text of the journal
    root_exited,    // session, status
    stop,           // accept nobody; end when the sessions have ended
  };
  Kind kind = Kind::stop;
  uint32_t tag = 0;
  int32_t status = 0;
  int32_t root = 0;
  Text<40> session;
  Text<16> state;
  Text<2048> text;
  Text<1024> hint;
};

struct EngineNotice {
  enum class Kind : uint32_t {
    root_resumed = 1,  // engine -> supervisor: pid
    stop,              // supervisor -> engine
    engine_ended,      // init of a PID namespace -> supervisor: status, as waitpid gives it
    root_ended,        // the same
  };
  Kind kind = Kind::stop;
  int32_t pid = 0;
  int32_t status = 0;
};

static_assert(std::is_trivially_copyable_v<FrontNotice> && std::is_trivially_copyable_v<SupervisorNotice> &&
              std::is_trivially_copyable_v<EngineNotice>);

}  // namespace crx::ipc
