// The packets that the supervisor exchanges with the front, the processes of connections and the engines: fixed
// structures over SOCK_SEQPACKET pairs, between copies of the same binary.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
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

// The name of a session for its data connections (wire/connection/data_key.hpp).
using Token = std::array<std::byte, 16>;

// The purpose of a session.
enum class Purpose : uint32_t { move = 0, check, store };

// From the front to the supervisor.
struct FrontNotice {
  enum class Kind : uint32_t {
    ready = 1,  // the front is listening
    failed,     // the front could not start: text
    control,    // a connection that begins with TLS; its socket is passed along
    data,       // a connection that began with the preamble of a data connection: token; its socket is passed along
  };
  Kind kind = Kind::ready;
  Token token{};  // data only
  Text<1024> text;
};

// From the process of a connection to the supervisor.
struct SessionNotice {
  enum class Kind : uint32_t {
    // the signer has said who the peer is; the answer (greeted or refused) has the same tag
    authenticated = 1,
    // Hello has arrived: session, token, wait, new_pids, purpose; the answer (engine or refused) has the same tag
    want_engine,
    query,            // asks for the outcome of `session`; the answer has the same tag
    session_closed,   // everything of a session has been sent to the source: session and its figures
    session_refused,  // preflight refused the tree of `session`
    turned_away,      // the peer did not get what it came for: text
  };
  Kind kind = Kind::query;
  uint32_t tag = 0;
  uint32_t wait = 0;
  uint32_t new_pids = 0;
  Purpose purpose = Purpose::move;
  uint32_t processes = 0;
  uint64_t wire_bytes = 0;
  uint64_t pages = 0;
  int64_t downtime_us = -1;  // -1: the tree was not resumed
  Token token{};             // by which data connections name the session
  Text<40> session;
  Text<2048> text;
};

// From the supervisor to the front and to the processes of connections.
struct SupervisorNotice {
  enum class Kind : uint32_t {
    greeted = 1,    // answer to authenticated: the peer may go on
    engine,         // answer to want_engine, with two descriptors: the session's socket and the page ring
    refused,        // answer to authenticated and to want_engine: text, hint
    state,          // answer to query: state, text
    data,           // a data connection of the session: its socket as a descriptor; text: the peer
    engine_exited,  // session, status (as from waitpid(2)), root, and state and text of the journal's last record
    root_exited,    // session, status
    opened,         // to the front, a session: session, text: the peer; its figures as a descriptor
    closed,         // to the front: its figures are among the counters now; session
    stop,           // accept no connections, and end when the session has ended
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

static_assert(std::is_trivially_copyable_v<FrontNotice> && std::is_trivially_copyable_v<SessionNotice> &&
              std::is_trivially_copyable_v<SupervisorNotice> && std::is_trivially_copyable_v<EngineNotice>);

}  // namespace crx::ipc
