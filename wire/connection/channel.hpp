// A TLS connection for coroutines. Includes Asio: only .cpp files of wire and of agent-dst/front include this header.
//
// OpenSSL uses the socket through a BIO of crx: records are gathered and sent in large pieces, and a receive takes
// everything that the socket holds. Asio only waits for readiness, keeps the deadlines and runs the coroutines.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/base/clock.hpp"
#include "wire/connection/data_key.hpp"
#include "wire/connection/network_time.hpp"
#include "wire/connection/tls_context.hpp"
#include "wire/frame.hpp"

#if defined(__GNUC__) && !defined(__clang__)
// g++ 12 reports Asio's coroutine frames (aligned_alloc behind operator new) as a mismatch.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace crx::wire {

struct TlsTransport;

// Errors are Error(peer), which names the peer. One coroutine may read while another writes; all run on the socket's
// executor, which must be a strand or a single-threaded context. Only try_write() may be called from any thread. A
// coroutine does not keep the channel alive: the caller must hold a shared_ptr while one is running.
class Channel : public std::enable_shared_from_this<Channel> {
 public:
  // socket: connected. peer: the name used in messages. server_name: the name that the server's certificate must have
  // (client only).
  Channel(asio::ip::tcp::socket socket, std::shared_ptr<const TlsContext> tls, std::string peer,
          const std::string& server_name = {});
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // To be called before the handshake: makes this a data connection of the session with this key. A client sends the
  // preamble first; a server's socket is past it. The handshake then fails unless the peer has the key.
  void join(DataKey key);
  // The key of the data connections of a session whose control connection this is; after the handshake. Throws Error.
  DataKey data_key();
  // To be called before the handshake: appends the handshake messages of both sides to `to`, which must outlive the
  // handshake (RFC 8446, 4).
  void record_handshake(std::string& to);
  // The cipher suite that was chosen; to be called from within the handshake (by RemoteKey::sign).
  uint16_t chosen_suite() const;
  // No wait ends later than this deadline; for peers that have not identified themselves, and for shutdown.
  void set_hard_deadline(Deadline deadline) { hard_ = deadline; }
  // No wait for the peer may last longer than this without progress.
  void set_stall_ms(int64_t ms) { stall_ms_ = ms; }

  // The TLS handshake, as client or server by the role of the context; both sides must agree on kAlpn. Throws
  // Error(peer) with the reason.
  asio::awaitable<void> handshake();
  // Fills `to` completely.
  asio::awaitable<void> read(std::span<std::byte> to);
  // The same, or false when the peer closed the connection properly before the first byte.
  asio::awaitable<bool> read_unless_closed(std::span<std::byte> to);
  asio::awaitable<void> write(std::span<const std::byte> from);
  // Writes two pieces, gathered into as few records as possible.
  asio::awaitable<void> write(std::span<const std::byte> head, std::span<const std::byte> body);

  // Accepts all of the bytes at once if nothing else is being written and they are few; otherwise accepts nothing and
  // returns false. Never blocks. Bytes for which the socket has no room stay in the channel: if unsent() returns true,
  // a write (of nothing) has to follow. If the connection fails here, the coroutines will fail, too.
  bool try_write(std::string_view bytes) noexcept;
  bool unsent() noexcept;

  // Closes this direction, then waits for the peer to close; never throws.
  asio::awaitable<void> shutdown();
  // Closes at once; running coroutines end with an Error.
  void close() noexcept;

  const std::string& peer() const { return peer_; }
  PeerIdentity identity() const { return peer_identity(ssl_); }
  asio::any_io_executor executor() { return socket_.get_executor(); }
  // Callable from any thread.
  NetworkState network();
  uint64_t bytes_written() const { return bytes_written_.load(std::memory_order_relaxed); }

 private:
  enum class Need { nothing, readable, writable };

  Need handshake_step();
  Need read_step(std::span<std::byte> to, std::size_t& done, bool& closed);
  Need write_step(std::span<const std::byte> from, std::size_t& done);
  bool flush();  // true: everything has been passed to the kernel
  [[noreturn]] void fail(const char* doing, int ssl_error);
  // missing: when waiting for input, the number of bytes known to come.
  asio::awaitable<void> wait(Need need, asio::steady_timer& timer, std::size_t missing = 1);
  bool has_input();
  bool drained();
  asio::awaitable<bool> read_all(std::span<std::byte> to, bool may_close);

  asio::ip::tcp::socket socket_;
  std::shared_ptr<const TlsContext> tls_;
  std::string peer_;
  std::mutex mutex_;  // guards ssl_ and transport_, since try_write() comes from other threads
  std::unique_ptr<TlsTransport> transport_;
  ssl_st* ssl_ = nullptr;
  std::optional<DataKey> data_key_;  // of a data connection
  bool established_ = false;
  bool writing_ = false;
  std::atomic<uint64_t> bytes_written_ = 0;
  Deadline hard_ = Deadline::never();
  int64_t stall_ms_ = 0;
  asio::steady_timer read_timer_, write_timer_;
};

// Reads the header of the next frame; false when the peer closed the connection properly instead. Throws Error(peer).
asio::awaitable<bool> read_frame_header(std::shared_ptr<Channel> channel, FrameHeader& header);
// Reads a payload of `length` bytes; memory is allocated only as data arrives.
asio::awaitable<std::string> read_payload(std::shared_ptr<Channel> channel, std::size_t length);
// Writes the whole text.
asio::awaitable<void> write_text(std::shared_ptr<Channel> channel, std::string text);

// Sets TCP_NODELAY, keep-alive and a time limit for unacknowledged data.
void tune_socket(asio::ip::tcp::socket& socket);

}  // namespace crx::wire
