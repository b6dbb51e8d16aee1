// The packets that the supervisor exchanges with the front and the engines: fixed structures over SOCK_SEQPACKET pairs,
// between copies of the same binary.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace crx::ipc {

// Text in an array of fixed size, always NUL-terminated; longer text is cut.
template <std::size_t N>
struct Text {
  char bytes[N] = {};
  void set(std::string_view text) {
    const std::size_t n = std::min(text.size(), N - 1);
    std::memcpy(bytes, text.data(), n);
    std::memset(bytes + n, 0, N - n);
  }
  std::string get() const { return {bytes, ::strnlen(bytes, N - 1)}; }
  // For a list of texts, one a line. A text that does not fit, or holds a newline itself, is left out.
  void set_lines(const std::vector<std::string>& lines) {
    std::string all;
    for (const std::string& line : lines) {
      if (line.find('\n') == std::string::npos && all.size() + line.size() + 2 < N) all += line + "\n";
    }
    set(all);
  }
  std::vector<std::string> lines() const {
    std::vector<std::string> all;
    const std::string text = get();
    for (std::size_t at = 0, end = 0; (end = text.find('\n', at)) != std::string::npos; at = end + 1)
      all.push_back(text.substr(at, end - at));
    return all;
  }
};

// The purpose of a session.
enum class Purpose : uint32_t { move = 0, check, store };

// From the front to the supervisor.
struct FrontNotice {
  enum class Kind : uint32_t {
    ready = 1,  // the front is listening
    failed,     // the front could not start: text
    // an authenticated Hello has arrived: session, peer, certificate, names, wait, new_pids, purpose; the answer has
    // the same tag
    want_engine,
    query,            // asks for the outcome of `session`; the answer has the same tag
    session_closed,   // everything of a session has been sent to the source: session and its figures
    session_refused,  // preflight refused the tree of `session`
  };
  Kind kind = Kind::ready;
  uint32_t tag = 0;
  uint32_t wait = 0;
  uint32_t new_pids = 0;
  Purpose purpose = Purpose::move;
  uint32_t processes = 0;
  uint64_t wire_bytes = 0;
  uint64_t pages = 0;
  int64_t downtime_us = -1;  // -1: the tree was not resumed
  Text<40> session;
  Text<72> certificate;  // SHA-256, hex
  Text<400> peer;
  Text<4096> names;  // of the peer's certificate, one a line
  Text<2048> text;
};

// From the supervisor to the front.
struct SupervisorNotice {
  enum class Kind : uint32_t {
    engine = 1,     // answer to want_engine, with two descriptors: the session's socket and the page ring
    refused,        // answer to want_engine: text, hint
    state,          // answer to query: state, text
    engine_exited,  // session, status (as from waitpid(2)), root, and state and text of the journal's last record
    root_exited,    // session, status
    keys,           // certificates and keys for new connections: descriptors of ca, cert, key and, if there is one, crl
    stop,           // accept no connections, and end when the sessions have ended
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

// Between an engine (or the init of its PID namespace) and the supervisor.
struct EngineNotice {
  enum class Kind : uint32_t {
    root_resumed = 1,  // engine -> supervisor: pid
    stop,              // supervisor -> engine
    engine_ended,      // init of a PID namespace -> supervisor: status, as from waitpid(2)
    root_ended,        // init of a PID namespace -> supervisor: status
  };
  Kind kind = Kind::stop;
  int32_t pid = 0;
  int32_t status = 0;
};

static_assert(std::is_trivially_copyable_v<FrontNotice> && std::is_trivially_copyable_v<SupervisorNotice> &&
              std::is_trivially_copyable_v<EngineNotice>);

}  // namespace crx::ipc
