// CRIU's page-server protocol, as `criu dump --page-server` and `criu page-server` speak it: pages of a dump on their
// way to another host. Blocking; one connection, one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/endpoint.hpp"
#include "common/base/fd.hpp"
#include "common/base/page.hpp"
#include "wire/connection/tls_context.hpp"

namespace crx::wire {

// Bytes of one connection, in TLS where a context is given. Throws Error(peer).
class PageStream {
 public:
  // tls: of the role; nullptr for plain text. The handshake is made here. peer: for messages; host: whom the server's
  // certificate must be for, of a client.
  PageStream(Fd socket, const TlsContext* tls, std::string peer, const std::string& host = {});
  static PageStream connect(const Endpoint& to, const TlsContext* tls);
  PageStream(PageStream&&) noexcept;
  PageStream& operator=(PageStream&&) = delete;
  ~PageStream();

  // All of `bytes`. False at the end of the stream before the first byte.
  [[nodiscard]] bool read(std::span<std::byte> bytes);
  void write(std::span<const std::byte> bytes);
  const std::string& peer() const noexcept { return peer_; }

 private:
  [[noreturn]] void fail(const char* what) const;
  Fd socket_;
  ssl_st* ssl_ = nullptr;
  std::string peer_;
};

namespace page_command {
inline constexpr uint32_t kAdd = 1, kHole = 2, kOpen = 3, kOpen2 = 4, kParent = 5, kAddFlags = 6, kGet = 7;
inline constexpr uint32_t kClose = 0x1023, kForceClose = 0x1024;
}  // namespace page_command

struct PageRequest {
  uint32_t command = 0;  // page_command
  uint32_t flags = 0;    // pagemap_flag, of kAddFlags
  uint64_t nr_pages = 0;
  uint64_t vaddr = 0;
  std::optional<PageSpace> space;  // of kOpen2, kParent: nothing where it is of a kind we do not know
};

// The requests of a client. CRIU changed their layout in 4.2 and tells nobody which one it speaks: the first request
// shows.
class PageRequests {
 public:
  explicit PageRequests(PageStream& stream) : stream_(stream) {}
  // Nothing at the end of the stream. Error(peer) for what no client sends.
  std::optional<PageRequest> next();

 private:
  PageStream& stream_;
  std::size_t bytes_ = 0;  // of a request, 24 or 32; 0: not known yet
};

// The client, in the layout that all servers up to CRIU 4.1 take, and ours.
class PageServerClient {
 public:
  explicit PageServerClient(PageStream stream) : stream_(std::move(stream)) {}
  // Pages of a space, ascending; a space is sent in one piece. bytes: of the ranges' pages, one after another.
  void add(PageSpace space, const std::vector<PageRange>& ranges, std::span<const std::byte> bytes);
  // An empty space is told too. Whether the server has it in a parent set, to which pages may be left.
  bool open(PageSpace space);
  // Pages of the space that is open, which the parent has: told between its pages, where their addresses belong. Before
  // the first add().
  void leave(std::vector<PageRange> ranges);
  // Returns when the server says that everything has arrived. Throws Error(peer) otherwise.
  void close();
  uint64_t pages() const noexcept { return pages_; }

 private:
  void send(uint32_t command, uint32_t flags, uint64_t nr_pages, uint64_t vaddr, PageSpace space);
  PageStream stream_;
  void leave_before(uint64_t addr);
  std::optional<PageSpace> open_;
  bool has_parent_ = false;
  std::vector<PageRange> left_;  // from next_left_ on: not told yet
  std::size_t next_left_ = 0;
  uint64_t pages_ = 0;
};

}  // namespace crx::wire
