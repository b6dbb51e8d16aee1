// One TLS connection as coroutines see it. Includes Asio: for .cpp files of wire and of the front only.
//
// OpenSSL works on the socket through a BIO of ours: records are gathered and sent in large pieces, and a
// receive takes whatever the socket holds. Asio only waits for readiness, keeps the deadlines and runs the
// coroutines.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

#include "common/base/clock.hpp"
#include "wire/connection/network_time.hpp"
#include "wire/connection/tls_context.hpp"
#include "wire/frame.hpp"

#if defined(__GNUC__) && !defined(__clang__)
// g++ 12 takes Asio's coroutine frames (aligned_alloc behind operator new) for a mismatch.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace crx::wire {

struct TlsTransport;

// Errors are Error(peer) that name the peer. One coroutine may read while another writes; all on the socket's
// executor, which must be a strand or a single-threaded context. try_write() alone may be called from any
// thread. The coroutines keep the channel alive only through their caller: hold a shared_ptr while one is
// under way.
class Channel : public std::enable_shared_from_this<Channel> {
 public:
  // socket: connected. peer: for messages. server_name: what the server's certificate must be for (client
  // only).
  Channel(asio::ip::tcp::socket socket, std::shared_ptr<const TlsContext> tls, std::string peer,
          const std::string& server_name = {});
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // No wait ends later than this; for peers that have not said who they are and for shutdown.
  void set_hard_deadline(Deadline deadline) { hard_ = deadline; }
  // No wait for the peer may last longer without progress.
  void set_stall_ms(int64_t ms) { stall_ms_ = ms; }

  asio::awaitable<void> handshake();
  // Fills `to`.
  asio::awaitable<void> read(std::span<std::byte> to);
  // The same, or false when the peer closed the connection in order before the first byte.
  asio::awaitable<bool> read_unless_closed(std::span<std::byte> to);
  asio::awaitable<void> write(std::span<const std::byte> from);
  // Two pieces, gathered into as few records as possible.
  asio::awaitable<void> write(std::span<const std::byte> head, std::span<const std::byte> body);

  // Takes all of it at once if nothing else is being written and it is small; else takes nothing (false).
  // Never blocks. What the socket has no room for stays here: where unsent() says so, a write (of nothing)
  // has to follow. A connection that fails here fails again in the coroutines.
  bool try_write(std::string_view bytes) noexcept;
  bool unsent() noexcept;

  // Says that nothing more will come, then waits for the peer to close; never throws.
  asio::awaitable<void> shutdown();
  // At once; coroutines under way end with an Error.
  void close() noexcept;

  const std::string& peer() const { return peer_; }
  PeerIdentity identity() const { return peer_identity(ssl_); }
  asio::any_io_executor executor() { return socket_.get_executor(); }
  // Any thread.
  NetworkState network();
  uint64_t bytes_written() const { return bytes_written_.load(std::memory_order_relaxed); }

 private:
  enum class Need { nothing, readable, writable };

  Need handshake_step();
  Need read_step(std::span<std::byte> to, std::size_t& done, bool& closed);
  Need write_step(std::span<const std::byte> from, std::size_t& done);
  bool flush();  // true: everything is with the kernel
  [[noreturn]] void fail(const char* doing, int ssl_error);
  // missing: for readable, what is known to come.
  asio::awaitable<void> wait(Need need, asio::steady_timer& timer, std::size_t missing = 1);
  bool has_input();
  bool drained();
  asio::awaitable<bool> read_all(std::span<std::byte> to, bool may_close);

  asio::ip::tcp::socket socket_;
  std::shared_ptr<const TlsContext> tls_;
  std::string peer_;
  std::mutex mutex_;  // over ssl_ and transport_: try_write comes from other threads
  std::unique_ptr<TlsTransport> transport_;
  ssl_st* ssl_ = nullptr;
  bool established_ = false;
  bool writing_ = false;
  std::atomic<uint64_t> bytes_written_ = 0;
  Deadline hard_ = Deadline::never();
  int64_t stall_ms_ = 0;
  asio::steady_timer read_timer_, write_timer_;
};

// Reads the header of the next frame; false when the peer closed in order instead. Throws Error(peer).
asio::awaitable<bool> read_frame_header(std::shared_ptr<Channel> channel, FrameHeader& header);
// Reads a payload of `length` bytes; memory grows with what really arrives.
asio::awaitable<std::string> read_payload(std::shared_ptr<Channel> channel, std::size_t length);
// Writes the whole text.
asio::awaitable<void> write_text(std::shared_ptr<Channel> channel, std::string text);

// TCP_NODELAY, keep-alive and a bound on unacknowledged data.
void tune_socket(asio::ip::tcp::socket& socket);

}  // namespace crx::wire
