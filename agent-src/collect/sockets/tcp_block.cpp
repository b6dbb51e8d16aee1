#include "agent-src/collect/sockets/tcp_block.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <nftables/libnftables.h>
#include <sys/select.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "agent-src/collect/sockets/socket_options.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/kernel/sockets/tcp_repair.hpp"

namespace crx {
namespace {

constexpr char kHint[] = "moving TCP connections needs nftables in the kernel, and CAP_NET_ADMIN";

constexpr int kItsDescriptors = 8;  // more than libnftables opens

struct FreeContext {
  void operator()(nft_ctx* context) const { ::nft_ctx_free(context); }
};

// Formats the set elements: "a . p . b . q" for the packets that the connection sends, and the reverse for those it
// receives.
std::string elements(const std::vector<BlockedConnection>& connections, int family) {
  std::string text;
  const auto add = [&](const InetAddress& from, const InetAddress& to) {
    text += fmt::format("{}{} . {} . {} . {}", text.empty() ? "" : ", ", from.host_text(), from.port, to.host_text(),
                        to.port);
  };
  for (const BlockedConnection& connection : connections) {
    const InetAddress local = connection.local.plain(), peer = connection.peer.plain();
    if (local.family != family) continue;
    add(local, peer);
    add(peer, local);
  }
  return text;
}

std::string set_text(const char* name, const char* type, const std::string& members) {
  return fmt::format("set {} {{\n type {} . inet_service . {} . inet_service\n{}}}\n", name, type, type,
                     members.empty() ? "" : fmt::format(" elements = {{ {} }}\n", members));
}

std::string rules_text(const std::string& table, const std::vector<BlockedConnection>& connections, bool owned) {
  std::string text = fmt::format("table inet {} {{\n{}", table, owned ? "flags owner\n" : "");
  text += set_text("c4", "ipv4_addr", elements(connections, AF_INET));
  text += set_text("c6", "ipv6_addr", elements(connections, AF_INET6));
  for (const char* hook : {"input", "output"}) {
    text += fmt::format("chain {} {{\n type filter hook {} priority -400\n", hook, hook);
    text += " ip saddr . tcp sport . ip daddr . tcp dport @c4 drop\n";
    text += " ip6 saddr . tcp sport . ip6 daddr . tcp dport @c6 drop\n}\n";
  }
  return text + "}\n";
}

}  // namespace

struct TcpBlock::Rules {
  std::unique_ptr<nft_ctx, FreeContext> context;

  // Returns nullptr if libnftables cannot be used.
  static std::unique_ptr<Rules> open() {
    const int first = lowest_free();
    if (first < 0 || first >= FD_SETSIZE - kItsDescriptors) return nullptr;
    auto rules = std::make_unique<Rules>();
    rules->context.reset(::nft_ctx_new(NFT_CTX_DEFAULT));
    if (!rules->context) return nullptr;
    ::nft_ctx_buffer_output(rules->context.get());
    ::nft_ctx_buffer_error(rules->context.get());
    // Programs that we start (hooks) must not inherit the netlink socket, which would keep the table alive.
    for (int fd = first; fd < first + kItsDescriptors; ++fd) {
      if (socket_int(fd, SOL_SOCKET, SO_DOMAIN, -1) != AF_NETLINK) continue;
      static_cast<void>(::fcntl(fd, F_SETFD, FD_CLOEXEC));
    }
    return rules;
  }
  // libnftables waits with select(2), which supports descriptors below 1024 only.
  static int lowest_free() {
    const Fd next(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0));
    return next.get();
  }
  void run(const std::string& commands) {
    if (::nft_run_cmd_from_buffer(context.get(), commands.c_str()) == 0) return;
    std::string why = ::nft_ctx_get_error_buffer(context.get());
    why = why.substr(0, why.find('\n'));
    throw Error(ErrorCode::unsupported, "holding packets back", why).with_hint(kHint);
  }
};

TcpBlock::TcpBlock(std::string session) : table_("crx-" + std::move(session)), rules_(Rules::open()) {}
TcpBlock::~TcpBlock() {
  unblock();
}

void TcpBlock::prepare() noexcept {
  if (!rules_ || has_table_) return;
  try {
    rules_->run(rules_text(table_, {}, true));
    has_table_ = true;
  } catch (const std::exception& error) {
    log::debug("cannot prepare the packet filter: {}", error.what());
  }
}

void TcpBlock::block(std::vector<BlockedConnection> connections) {
  if (connections.empty()) return;
  if (!rules_) {
    throw Error(ErrorCode::unsupported, "holding packets back", "nftables cannot be opened").with_hint(kHint);
  }
  if (!has_table_) {
    rules_->run(rules_text(table_, connections, true));
    has_table_ = true;
  } else {
    std::string commands;
    for (const auto& [set, family] : {std::pair{"c4", AF_INET}, std::pair{"c6", AF_INET6}}) {
      const std::string more = elements(connections, family);
      if (!more.empty()) commands += fmt::format("add element inet {} {} {{ {} }}\n", table_, set, more);
    }
    rules_->run(commands);
  }
  connections_.insert(connections_.end(), std::make_move_iterator(connections.begin()),
                      std::make_move_iterator(connections.end()));
}

void TcpBlock::close_silently() noexcept {
  for (BlockedConnection& connection : connections_) {
    try {
      enter_repair(connection.own.get(), connection.local.text());
    } catch (const std::exception& error) {
      log::warn("cannot end a moved connection silently: {}", error.what());
    }
    connection.own.reset();
  }
}

void TcpBlock::unblock() noexcept {
  connections_.clear();
  if (!has_table_) return;
  has_table_ = false;
  try {
    rules_->run(fmt::format("delete table inet {}\n", table_));
  } catch (const std::exception& error) {
    log::debug("cannot delete the packet filter's table, closing its netlink socket instead: {}", error.what());
    rules_.reset();  // closes the socket, at which the kernel removes the table
  }
}

// A connection within the tree has no outside peer that waits for a packet; it is restored, or made again, while the
// tree is built.
bool TcpBlock::reaches_outside() const {
  return std::any_of(connections_.begin(), connections_.end(),
                     [](const BlockedConnection& each) { return each.outside; });
}

void TcpBlock::leave_installed() noexcept {
  if (!has_table_) return;
  std::vector<BlockedConnection> outside;
  for (const BlockedConnection& connection : connections_) {
    if (connection.outside) outside.push_back({Fd(), connection.local, connection.peer});
  }
  if (outside.empty()) return unblock();
  try {
    rules_->run(rules_text(table_ + "-kept", outside, false));
    log::warn("packets of its TCP connections stay blocked by the nftables table inet {}-kept", table_);
  } catch (const std::exception& error) {
    log::warn("cannot keep the packets of its TCP connections blocked: {}", error.what());
  }
  unblock();
}

}  // namespace crx
