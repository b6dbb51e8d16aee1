#include "wire/connection/tls_transport.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace crx::wire {

int TlsTransport::write(BIO* bio, const char* bytes, int count) {
  TlsTransport& self = of(bio);
  BIO_clear_retry_flags(bio);
  if (self.pending() >= kGather) {
    BIO_set_retry_write(bio);
    return -1;
  }
  self.out.insert(self.out.end(), bytes, bytes + count);
  return count;
}

int TlsTransport::read(BIO* bio, char* bytes, int count) {
  TlsTransport& self = of(bio);
  BIO_clear_retry_flags(bio);
  if (self.in_at == self.in_end && !self.refill(bio)) return self.eof ? 0 : -1;
  const std::size_t n = std::min(static_cast<std::size_t>(count), self.in_end - self.in_at);
  std::memcpy(bytes, self.in.data() + self.in_at, n);
  self.in_at += n;
  return static_cast<int>(n);
}

// OpenSSL's own read-ahead copies everything that it holds once per record; this copies each byte once.
bool TlsTransport::refill(BIO* bio) {
  if (in.size() < read_ahead) in.resize(read_ahead);
  for (;;) {
    const ssize_t n = ::recv(fd, in.data(), in.size(), MSG_DONTWAIT);
    if (n > 0) {
      in_at = 0;
      in_end = static_cast<std::size_t>(n);
      return true;
    }
    if (n == 0) {
      eof = true;
      return false;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
      BIO_set_retry_read(bio);
    else
      error = errno;
    return false;
  }
}

// OpenSSL may hold a part of the current record already, so the threshold is one record lower.
void TlsTransport::expect(std::size_t missing) {
  constexpr std::size_t kRecord = (16 << 10) + 256;
  const int wanted = static_cast<int>(std::clamp(missing, kRecord + 1, kRecord + kReadAhead / 2) - kRecord);
  if (wanted == low_water || ::setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &wanted, sizeof wanted) != 0) return;
  low_water = wanted;
}

long TlsTransport::ctrl(BIO* bio, int command, long /*number*/, void* /*pointer*/) {
  if (command == BIO_CTRL_FLUSH) return 1;
  return command == BIO_CTRL_EOF && of(bio).eof ? 1 : 0;
}

// OpenSSL requires one method object per process; it is not changed after its creation.
BIO_METHOD* TlsTransport::method() {
  static BIO_METHOD* const made = [] {
    BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "crx socket");
    BIO_meth_set_write(m, &TlsTransport::write);
    BIO_meth_set_read(m, &TlsTransport::read);
    BIO_meth_set_ctrl(m, &TlsTransport::ctrl);
    BIO_meth_set_create(m, [](BIO* bio) {
      BIO_set_init(bio, 1);
      return 1;
    });
    return m;
  }();
  return made;
}

}  // namespace crx::wire
