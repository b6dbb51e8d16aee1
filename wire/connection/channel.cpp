#include "wire/connection/channel.hpp"

#include <fmt/format.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>
#include <vector>

#include "common/base/error.hpp"
#include "wire/connection/tls_errors.hpp"
#include "wire/connection/tls_transport.hpp"

namespace crx::wire {
namespace {

constexpr std::size_t kFirstRecord = 16 << 10;  // the head and the start of the body are joined up to this size
constexpr std::size_t kGrow = 1 << 20;

}  // namespace

Channel::Channel(asio::ip::tcp::socket socket, std::shared_ptr<const TlsContext> tls, std::string peer,
                 const std::string& server_name)
    : socket_(std::move(socket)),
      tls_(std::move(tls)),
      peer_(std::move(peer)),
      transport_(std::make_unique<TlsTransport>()),
      ssl_(tls_->new_connection(server_name)),
      read_timer_(socket_.get_executor()),
      write_timer_(socket_.get_executor()) {
  tune_socket(socket_);
  transport_->fd = socket_.native_handle();
  BIO* bio = BIO_new(TlsTransport::method());
  BIO_set_data(bio, transport_.get());
  SSL_set_bio(ssl_, bio, bio);
}

Channel::~Channel() {
  SSL_free(ssl_);
}

void Channel::join(DataKey key) {
  data_key_ = key;
  use_data_key(ssl_, *data_key_);
  if (tls_->role() == TlsRole::server) return;
  const std::string preamble = data_preamble(key.token);
  transport_->out.insert(transport_->out.end(), preamble.begin(), preamble.end());
}

void Channel::record_handshake(std::string& to) {
  SSL_set_msg_callback(ssl_, [](int, int, int type, const void* bytes, std::size_t count, SSL*, void* record) {
    if (type == SSL3_RT_HANDSHAKE) static_cast<std::string*>(record)->append(static_cast<const char*>(bytes), count);
  });
  SSL_set_msg_callback_arg(ssl_, &to);
}

uint16_t Channel::chosen_suite() const {
  const SSL_CIPHER* suite = SSL_get_pending_cipher(ssl_);
  return suite == nullptr ? uint16_t{0} : SSL_CIPHER_get_protocol_id(suite);
}

DataKey Channel::data_key() {
  const std::lock_guard lock(mutex_);
  return derive_data_key(ssl_);
}

void Channel::close() noexcept {
  const std::lock_guard lock(mutex_);
  transport_->fd = -1;
  asio::error_code ignored;
  socket_.close(ignored);
}

void Channel::fail(const char* doing, int ssl_error) {
  const int err = transport_->error;
  if (!established_ || ssl_error == SSL_ERROR_SSL) throw_tls_error(ssl_, *tls_, peer_);
  ERR_clear_error();
  if (transport_->fd < 0) throw Error(ErrorCode::peer, doing, peer_ + ": the connection was closed on this side");
  if (err != 0 && err != ECONNRESET && err != EPIPE) throw Error(ErrorCode::peer, doing, peer_, err);
  if (!established_) {
    throw Error(ErrorCode::peer, "starting TLS", peer_ + " closed the connection during the handshake")
        .with_hint("check that a crx-agent listens on that port, and read its log");
  }
  throw Error(ErrorCode::peer, doing, peer_ + ": the connection was interrupted");
}

Channel::Need Channel::handshake_step() {
  const std::lock_guard lock(mutex_);
  ERR_clear_error();
  const int rc = SSL_do_handshake(ssl_);
  const int why = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl_, rc);
  const std::size_t before = transport_->pending();
  const bool flushed = before == 0 || flush();
  if (why != SSL_ERROR_NONE && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) fail("starting TLS", why);
  if (!flushed) return Need::writable;
  if (rc == 1) {
    established_ = true;
    return Need::nothing;
  }
  return why == SSL_ERROR_WANT_WRITE ? Need::writable : Need::readable;
}

asio::awaitable<void> Channel::handshake() {
  for (;;) {
    const Need need = handshake_step();
    if (need == Need::nothing) break;
    co_await wait(need, read_timer_);
  }
  SSL_set_msg_callback(ssl_, nullptr);
  require_protocol(ssl_, *tls_, peer_);
  if (data_key_ && !uses_data_key(ssl_))
    throw Error(ErrorCode::peer, "starting TLS", peer_ + " does not have the key of the session");
  transport_->read_ahead = TlsTransport::kReadAhead;
}

Channel::Need Channel::read_step(std::span<std::byte> to, std::size_t& done, bool& closed) {
  const std::lock_guard lock(mutex_);
  ERR_clear_error();
  while (done < to.size()) {
    const int want = static_cast<int>(std::min(to.size() - done, kGrow));
    const int rc = SSL_read(ssl_, to.data() + done, want);
    if (rc > 0) {
      done += static_cast<std::size_t>(rc);
      continue;
    }
    const int why = SSL_get_error(ssl_, rc);
    if (why == SSL_ERROR_WANT_READ) return Need::readable;
    if (why == SSL_ERROR_WANT_WRITE) return Need::writable;
    if (why == SSL_ERROR_ZERO_RETURN) {
      closed = true;
      return Need::nothing;
    }
    fail("receiving", why);
  }
  return Need::nothing;
}

asio::awaitable<bool> Channel::read_all(std::span<std::byte> to, bool may_close) {
  std::size_t done = 0;
  bool closed = false;
  for (;;) {
    const Need need = read_step(to, done, closed);
    if (closed && (done > 0 || !may_close)) {
      throw Error(ErrorCode::peer, "receiving", peer_ + " closed the connection");
    }
    if (need == Need::nothing) co_return !closed;
    co_await wait(need, read_timer_, to.size() - done);
  }
}

asio::awaitable<void> Channel::read(std::span<std::byte> to) {
  co_await read_all(to, false);
}

asio::awaitable<bool> Channel::read_unless_closed(std::span<std::byte> to) {
  co_return co_await read_all(to, true);
}

bool Channel::flush() {
  TlsTransport& t = *transport_;
  while (t.pending() > 0) {
    const ssize_t n = ::send(t.fd, t.out.data() + t.sent, t.pending(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
    if (n < 0) {
      t.error = errno;
      t.out.clear();
      t.sent = 0;
      // A refused handshake often appears as a broken pipe here, while the alert that gives the reason has not been
      // read yet.
      if (!established_) return true;
      fail("sending", SSL_ERROR_SYSCALL);
    }
    bytes_written_ += static_cast<uint64_t>(n);
    t.sent += static_cast<std::size_t>(n);
  }
  t.out.clear();
  t.sent = 0;
  return true;
}

Channel::Need Channel::write_step(std::span<const std::byte> from, std::size_t& done) {
  const std::lock_guard lock(mutex_);
  ERR_clear_error();
  for (;;) {
    bool full = false;
    while (done < from.size() && !full) {
      const int rc = SSL_write(ssl_, from.data() + done, static_cast<int>(std::min(from.size() - done, kGrow)));
      if (rc > 0) {
        done += static_cast<std::size_t>(rc);
        continue;
      }
      const int why = SSL_get_error(ssl_, rc);
      if (why == SSL_ERROR_WANT_READ) return Need::readable;
      if (why != SSL_ERROR_WANT_WRITE) fail("sending", why);
      full = true;
    }
    if (!flush()) {
      writing_ = true;
      return Need::writable;
    }
    if (done == from.size()) {
      writing_ = false;
      return Need::nothing;
    }
  }
}

asio::awaitable<void> Channel::write(std::span<const std::byte> from) {
  std::size_t done = 0;
  for (;;) {
    const Need need = write_step(from, done);
    if (need == Need::nothing) co_return;
    co_await wait(need, write_timer_);
  }
}

asio::awaitable<void> Channel::write(std::span<const std::byte> head, std::span<const std::byte> body) {
  std::vector<std::byte> first(head.begin(), head.end());
  const std::size_t joined = std::min(body.size(), kFirstRecord - std::min(kFirstRecord, head.size()));
  first.insert(first.end(), body.begin(), body.begin() + static_cast<std::ptrdiff_t>(joined));
  co_await write(std::span<const std::byte>(first));
  if (joined < body.size()) co_await write(body.subspan(joined));
}

bool Channel::try_write(std::string_view bytes) noexcept {
  const std::lock_guard lock(mutex_);
  if (!established_ || writing_ || transport_->fd < 0 || transport_->pending() > 0) return false;
  if (bytes.size() > TlsTransport::kGather / 2) return false;
  ERR_clear_error();
  std::size_t done = 0;
  while (done < bytes.size()) {
    const int rc = SSL_write(ssl_, bytes.data() + done, static_cast<int>(bytes.size() - done));
    if (rc <= 0) return false;  // there is room in the buffer, so this happens only if the connection is dead
    done += static_cast<std::size_t>(rc);
  }
  try {
    if (!flush()) writing_ = true;
  } catch (const Error&) {  // the connection is dead, which its reader reports
    ERR_clear_error();
  }
  return true;
}

NetworkState Channel::network() {
  const std::lock_guard lock(mutex_);
  return transport_->fd < 0 ? NetworkState() : network_state(transport_->fd);
}

bool Channel::unsent() noexcept {
  const std::lock_guard lock(mutex_);
  return transport_->pending() > 0;
}

bool Channel::has_input() {
  const std::lock_guard lock(mutex_);
  int bytes = 0;
  return ::ioctl(transport_->fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

asio::awaitable<void> Channel::wait(Need need, asio::steady_timer& timer, std::size_t missing) {
  if (transport_->fd < 0) fail("waiting", SSL_ERROR_SYSCALL);
  if (need == Need::readable) transport_->expect(missing);
  int64_t left_ns = hard_.left_ns();
  if (stall_ms_ > 0) left_ns = std::min(left_ns, stall_ms_ * 1'000'000);
  auto expired = std::make_shared<bool>(false);
  if (left_ns != INT64_MAX) {
    timer.expires_after(std::chrono::nanoseconds(std::max<int64_t>(left_ns, 0)));
    timer.async_wait([self = weak_from_this(), expired](const asio::error_code& ec) {
      if (ec) return;
      const auto channel = self.lock();
      if (!channel || *expired) return;
      *expired = true;
      asio::error_code ignored;
      channel->socket_.cancel(ignored);
    });
  }
  asio::error_code ec;
  const auto what = need == Need::readable ? asio::ip::tcp::socket::wait_read : asio::ip::tcp::socket::wait_write;
  co_await socket_.async_wait(what, asio::redirect_error(asio::use_awaitable, ec));
  const bool late = *expired;
  *expired = true;
  if (left_ns != INT64_MAX) timer.cancel();
  // A part of the awaited bytes has arrived: not enough for the wake-up threshold, but enough to continue.
  if (late && need == Need::readable && hard_.left_ns() > 0 && has_input()) co_return;
  if (late) {
    throw Error(ErrorCode::peer, need == Need::readable ? "receiving" : "sending",
                fmt::format("{} did not answer within {} ms", peer_, left_ns / 1'000'000));
  }
  if (ec) {
    throw Error(ErrorCode::peer, need == Need::readable ? "receiving" : "sending",
                transport_->fd < 0 ? peer_ + ": the connection was closed on this side" : peer_ + ": " + ec.message());
  }
}

bool Channel::drained() {
  const std::lock_guard lock(mutex_);
  std::vector<char> rest(16 << 10);
  for (;;) {
    const ssize_t n = ::recv(transport_->fd, rest.data(), rest.size(), MSG_DONTWAIT);
    if (n > 0 || (n < 0 && errno == EINTR)) continue;
    return n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
  }
}

asio::awaitable<void> Channel::shutdown() {
  try {
    {
      const std::lock_guard lock(mutex_);
      ERR_clear_error();
      if (established_ && transport_->fd >= 0) SSL_shutdown(ssl_);
    }
    co_await write(std::span<const std::byte>());
    asio::error_code ignored;
    socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    // Closing with unread bytes would reset the connection, and the peer would lose our last messages.
    while (!drained()) co_await wait(Need::readable, read_timer_);
  } catch (const Error&) {
    // The peer has closed as well, or does not answer: in both cases this end is finished.
  }
  close();
}

asio::awaitable<bool> read_frame_header(std::shared_ptr<Channel> channel, FrameHeader& header) {
  std::array<std::byte, kFrameHeaderBytes> bytes{};
  const bool there = co_await channel->read_unless_closed(std::span<std::byte>(bytes));
  if (there) header = parse_frame_header(bytes);
  co_return there;
}

asio::awaitable<std::string> read_payload(std::shared_ptr<Channel> channel, std::size_t length) {
  std::string payload;
  while (payload.size() < length) {
    const std::size_t at = payload.size();
    payload.resize(std::min(length, at + kGrow));
    co_await channel->read(std::as_writable_bytes(std::span<char>(payload.data() + at, payload.size() - at)));
  }
  co_return payload;
}

asio::awaitable<void> write_text(std::shared_ptr<Channel> channel, std::string text) {
  co_await channel->write(std::as_bytes(std::span<const char>(text.data(), text.size())));
}

void tune_socket(asio::ip::tcp::socket& socket) {
  const int fd = socket.native_handle();
  const int on = 1;
  const unsigned unacknowledged_ms = 60'000;
  // Best effort: these options affect only the speed, not the correctness.
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  (void)::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof unacknowledged_ms);
}

}  // namespace crx::wire
