// CRIU's page-server protocol, as used by `criu dump --page-server` and `criu page-server`: it transfers the pages of a
// dump to another host. Blocking; one connection, one thread.
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

// A byte stream over one connection, in TLS if a context is given. Throws Error(peer).
class PageStream {
 public:
  // tls: a context for this end's role; nullptr for plain text. The constructor performs the handshake. peer: the name
  // used in messages. host: for a client, the name that the server's certificate must have.
  PageStream(Fd socket, const TlsContext* tls, std::string peer, const std::string& host = {});
  static PageStream connect(const Endpoint& to, const TlsContext* tls);
  PageStream(PageStream&&) noexcept;
  PageStream& operator=(PageStream&&) = delete;
  ~PageStream();

  // Fills `bytes`. False at the end of the stream before the first byte.
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
  uint32_t command = 0;  // a value of page_command
  uint32_t flags = 0;    // pagemap_flag, for kAddFlags
  uint64_t nr_pages = 0;
  uint64_t vaddr = 0;
  std::optional<PageSpace> space;  // for kOpen2 and kParent; nullopt for an unknown kind of space
};

// The requests of a client. CRIU 4.2 changed their layout without announcing which one a client uses; the first request
// shows it.
class PageRequests {
 public:
  explicit PageRequests(PageStream& stream) : stream_(stream) {}
  // nullopt at the end of the stream. Throws Error(peer) for a request that no client sends.
  std::optional<PageRequest> next();

 private:
  PageStream& stream_;
  std::size_t bytes_ = 0;  // size of a request, 24 or 32; 0: not known yet
};

// The client, using the layout that crx and all servers up to CRIU 4.1 accept.
class PageServerClient {
 public:
  explicit PageServerClient(PageStream stream) : stream_(std::move(stream)) {}
  // Sends pages of a space, ascending; all pages of a space are sent consecutively. bytes: the contents of the ranges'
  // pages, one after another.
  void add(PageSpace space, const std::vector<PageRange>& ranges, std::span<const std::byte> bytes);
  // Announces a space, even if it has no pages. Returns whether the server has it in a parent set, in which pages can
  // be left.
  bool open(PageSpace space);
  // Pages of the open space that the parent set has; they are announced among the sent pages, in the order of the
  // addresses. Called before the first add().
  void leave(std::vector<PageRange> ranges);
  // Returns when the server confirms that everything has arrived. Throws Error(peer) otherwise.
  void close();
  uint64_t pages() const noexcept { return pages_; }

 private:
  void send(uint32_t command, uint32_t flags, uint64_t nr_pages, uint64_t vaddr, PageSpace space);
  PageStream stream_;
  void leave_before(uint64_t addr);
  std::optional<PageSpace> open_;
  bool has_parent_ = false;
  std::vector<PageRange> left_;  // from next_left_ on: not announced yet
  std::size_t next_left_ = 0;
  uint64_t pages_ = 0;
};

}  // namespace crx::wire
