// What OpenSSL reads from and writes to: a BIO on a socket that gathers records and receives in large pieces.
#pragma once

#include <openssl/bio.h>

#include <cstddef>
#include <vector>

namespace crx::wire {

// Writing fills `out`, whose owner sends it; reading takes from the socket without blocking. Not thread-safe.
struct TlsTransport {
  static constexpr std::size_t kGather = 256 << 10;     // of sealed bytes before they have to go to the kernel
  static constexpr std::size_t kReadAhead = 256 << 10;  // taken from the kernel at once

  int fd = -1;
  int error = 0;  // errno of the last failed send or recv
  bool eof = false;
  std::vector<char> out;  // sealed, not yet sent: from `sent` on
  std::size_t sent = 0;
  std::vector<char> in;  // received, not yet opened: [in_at, in_end)
  std::size_t in_at = 0, in_end = 0;
  int low_water = 1;  // SO_RCVLOWAT

  std::size_t pending() const { return out.size() - sent; }
  // `missing`: bytes of the stream that will come, whatever happens. Until much of that is here nobody is woken: a
  // wake-up per packet costs more than the packet. socket(7), SO_RCVLOWAT.
  void expect(std::size_t missing);
  // For BIO_new; BIO_set_data gives it the transport.
  static BIO_METHOD* method();

 private:
  static TlsTransport& of(BIO* bio) { return *static_cast<TlsTransport*>(BIO_get_data(bio)); }
  static int write(BIO* bio, const char* bytes, int count);
  static int read(BIO* bio, char* bytes, int count);
  static long ctrl(BIO* bio, int command, long number, void* pointer);
  bool refill(BIO* bio);
};

}  // namespace crx::wire
