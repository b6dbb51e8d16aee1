#include "wire/page_server/page_server.hpp"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "common/base/error.hpp"
#include "wire/connection/tls_errors.hpp"

namespace crx::wire {
namespace {

constexpr char kPageServerStep[] = "talking to the page server's peer";
constexpr std::size_t kOldBytes = 24;  // CRIU up to 4.1
constexpr std::size_t kNewBytes = 32;  // since 4.2
constexpr uint32_t kTypePid = 1, kTypeShmem = 2;
constexpr uint64_t kMaxPages = uint64_t{1} << 45;

uint64_t encode(PageSpace space) {
  return space.id << 8 | (space.kind == PageSpace::Kind::mm ? kTypePid : kTypeShmem);
}

std::optional<PageSpace> decode(uint64_t id) {
  if ((id & 0xff) == kTypePid) return PageSpace{PageSpace::Kind::mm, id >> 8};
  if ((id & 0xff) == kTypeShmem) return PageSpace{PageSpace::Kind::shmem, id >> 8};
  return std::nullopt;
}

template <typename T>
T field(std::span<const std::byte> bytes, std::size_t at) {
  T value{};
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

}  // namespace

PageStream::PageStream(Fd socket, const TlsContext* tls, std::string peer, const std::string& host)
    : socket_(std::move(socket)), peer_(std::move(peer)) {
  const int on = 1;
  ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (tls == nullptr) return;
  ssl_ = tls->new_connection(host);
  SSL_set_fd(ssl_, socket_.get());
  const int done = tls->role() == TlsRole::client ? SSL_connect(ssl_) : SSL_accept(ssl_);
  if (done == 1) return;
  const std::unique_ptr<ssl_st, void (*)(ssl_st*)> gone(std::exchange(ssl_, nullptr), SSL_free);
  throw_tls_error(gone.get(), *tls, peer_);
  throw Error(ErrorCode::peer, kPageServerStep, peer_ + " closed the connection during the TLS handshake");
}

PageStream PageStream::connect(const Endpoint& to, const TlsContext* tls) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(to.host.c_str(), std::to_string(to.port).c_str(), &hints, &found); error != 0) {
    throw Error(ErrorCode::peer, "connecting", to.text() + ": " + ::gai_strerror(error))
        .with_hint("check the name given to --page-server");
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, ::freeaddrinfo);
  int err = 0;
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    Fd socket(::socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC, address->ai_protocol));
    if (socket && ::connect(socket.get(), address->ai_addr, address->ai_addrlen) == 0) {
      return PageStream(std::move(socket), tls, to.text(), to.host);
    }
    err = errno;
  }
  throw Error(ErrorCode::peer, "connecting", to.text(), err)
      .with_hint("is a page server running there (crx-agent --page-server), and may this host reach that port?");
}

PageStream::PageStream(PageStream&& other) noexcept
    : socket_(std::move(other.socket_)), ssl_(std::exchange(other.ssl_, nullptr)), peer_(std::move(other.peer_)) {}

PageStream::~PageStream() {
  if (ssl_ == nullptr) return;
  SSL_shutdown(ssl_);
  SSL_free(ssl_);
}

void PageStream::fail(const char* what) const {
  throw Error(ErrorCode::peer, kPageServerStep, peer_ + " " + what, ssl_ == nullptr ? errno : 0);
}

bool PageStream::read(std::span<std::byte> bytes) {
  bool begun = false;
  while (!bytes.empty()) {
    const std::size_t wanted = std::min<std::size_t>(bytes.size(), 1 << 30);
    const ssize_t n = ssl_ != nullptr ? SSL_read(ssl_, bytes.data(), static_cast<int>(wanted))
                                      : ::recv(socket_.get(), bytes.data(), wanted, 0);
    if (n < 0 && ssl_ == nullptr && errno == EINTR) continue;
    if (n <= 0) {
      errno = n == 0 ? 0 : errno;
      // A client that has finished may close the connection without TLS's close_notify.
      if (!begun && (n == 0 || ssl_ != nullptr)) return false;
      fail("closed the connection in the middle of a request");
    }
    begun = true;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

void PageStream::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const std::size_t wanted = std::min<std::size_t>(bytes.size(), 1 << 30);
    const ssize_t n = ssl_ != nullptr ? SSL_write(ssl_, bytes.data(), static_cast<int>(wanted))
                                      : ::send(socket_.get(), bytes.data(), wanted, MSG_NOSIGNAL);
    if (n < 0 && ssl_ == nullptr && errno == EINTR) continue;
    if (n <= 0) fail("accepts no more data");
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

// Old layout: u32 command, u32 pages, u64 address, u64 space. New layout: u32 command, 4 unused bytes, u64 pages, u64
// address, u64 space. The first request is an open, which has no address: in the new layout the eight bytes at offset
// 16 are zero, in the old one they are the space.
std::optional<PageRequest> PageRequests::next() {
  std::byte buffer[kNewBytes] = {};
  const std::span<std::byte> bytes(buffer);
  if (!stream_.read(bytes.first(kOldBytes))) return std::nullopt;
  const auto head = field<uint32_t>(bytes, 0);
  PageRequest request;
  request.command = head & 0xffff;
  request.flags = head >> 16;
  const bool closes = request.command == page_command::kClose || request.command == page_command::kForceClose;
  if (bytes_ == 0 && closes) return request;  // nothing of interest follows
  if (bytes_ == 0) bytes_ = field<uint64_t>(bytes, 16) == 0 ? kNewBytes : kOldBytes;
  if (bytes_ == kNewBytes && !stream_.read(bytes.subspan(kOldBytes))) {
    throw Error(ErrorCode::peer, kPageServerStep, stream_.peer() + " closed the connection in the middle of a request");
  }
  const bool old = bytes_ == kOldBytes;
  request.nr_pages = old ? field<uint32_t>(bytes, 4) : field<uint64_t>(bytes, 8);
  request.vaddr = field<uint64_t>(bytes, old ? 8 : 16);
  request.space = decode(field<uint64_t>(bytes, old ? 16 : 24));
  if (request.nr_pages > kMaxPages || request.vaddr > kMaxPages * kPageSize || request.vaddr % kPageSize != 0) {
    throw Error(ErrorCode::peer, kPageServerStep,
                fmt::format("{} sent {} pages at {:#x}", stream_.peer(), request.nr_pages, request.vaddr));
  }
  return request;
}

void PageServerClient::send(uint32_t command, uint32_t flags, uint64_t nr_pages, uint64_t vaddr, PageSpace space) {
  std::byte buffer[kOldBytes] = {};
  const uint32_t head = command | flags << 16;
  const auto count = static_cast<uint32_t>(nr_pages);
  const uint64_t id = encode(space);
  std::memcpy(buffer, &head, sizeof head);
  std::memcpy(buffer + 4, &count, sizeof count);
  std::memcpy(buffer + 8, &vaddr, sizeof vaddr);
  std::memcpy(buffer + 16, &id, sizeof id);
  stream_.write(buffer);
}

bool PageServerClient::open(PageSpace space) {
  if (open_ == space) return has_parent_;
  leave_before(UINT64_MAX);
  open_ = space;
  send(page_command::kOpen2, 0, 0, 0, space);
  std::byte has_parent{};
  if (!stream_.read({&has_parent, 1}))
    throw Error(ErrorCode::peer, kPageServerStep, stream_.peer() + " does not answer");
  has_parent_ = has_parent != std::byte{};
  return has_parent_;
}

void PageServerClient::leave(std::vector<PageRange> ranges) {
  left_ = std::move(ranges);
  next_left_ = 0;
}

void PageServerClient::leave_before(uint64_t addr) {
  constexpr uint32_t kParent = 1;
  for (; next_left_ < left_.size() && left_[next_left_].start < addr; ++next_left_) {
    send(page_command::kAddFlags, kParent, left_[next_left_].pages(), left_[next_left_].start, *open_);
  }
}

void PageServerClient::add(PageSpace space, const std::vector<PageRange>& ranges, std::span<const std::byte> bytes) {
  constexpr uint32_t kPresent = 4;
  open(space);
  for (const PageRange& range : ranges) {
    leave_before(range.start);
    send(page_command::kAddFlags, kPresent, range.pages(), range.start, space);
    stream_.write(bytes.first(range.bytes()));
    bytes = bytes.subspan(range.bytes());
    pages_ += range.pages();
  }
}

void PageServerClient::close() {
  leave_before(UINT64_MAX);
  send(page_command::kClose, 0, 0, 0, open_.value_or(PageSpace{}));
  int32_t status = -1;
  if (!stream_.read(std::as_writable_bytes(std::span(&status, 1))) || status != 0) {
    throw Error(ErrorCode::peer, kPageServerStep,
                fmt::format("{} did not store the pages (status {})", stream_.peer(), status));
  }
}

}  // namespace crx::wire
