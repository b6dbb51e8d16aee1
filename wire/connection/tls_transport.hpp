// The byte transport below OpenSSL: a BIO on a socket that gathers records and receives in large pieces.
#pragma once

#include <openssl/bio.h>

#include <cstddef>
#include <vector>

namespace crx::wire {

// A write appends to `out`, which the owner sends; a read takes from the socket without blocking. Not thread-safe.
struct TlsTransport {
  // encrypted bytes that are gathered before they must be passed to the kernel
  static constexpr std::size_t kGather = 256 << 10;
  static constexpr std::size_t kReadAhead = 256 << 10;  // bytes taken from the kernel at once
  // the same until the peer has authenticated: connections of strangers may be many
  static constexpr std::size_t kShyReadAhead = 8 << 10;

  int fd = -1;
  int error = 0;  // errno of the last failed send or recv
  bool eof = false;
  std::vector<char> out;  // encrypted, not sent yet: from `sent` on
  std::size_t sent = 0;
  std::vector<char> in;  // received, not decrypted yet: [in_at, in_end)
  std::size_t in_at = 0, in_end = 0;
  int low_water = 1;  // the current SO_RCVLOWAT
  std::size_t read_ahead = kShyReadAhead;

  std::size_t pending() const { return out.size() - sent; }
  // `missing`: the number of bytes of the stream that are certain to come. The reader is not woken before most of them
  // have arrived, since a wake-up per packet costs more than the packet. socket(7), SO_RCVLOWAT.
  void expect(std::size_t missing);
  // For BIO_new(); BIO_set_data() attaches the transport.
  static BIO_METHOD* method();

 private:
  static TlsTransport& of(BIO* bio) { return *static_cast<TlsTransport*>(BIO_get_data(bio)); }
  static int write(BIO* bio, const char* bytes, int count);
  static int read(BIO* bio, char* bytes, int count);
  static long ctrl(BIO* bio, int command, long number, void* pointer);
  bool refill(BIO* bio);
};

}  // namespace crx::wire
