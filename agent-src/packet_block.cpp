#include "agent-src/packet_block.hpp"

#include <fmt/format.h>
#include <nftables/libnftables.h>

#include <iterator>

#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/kernel/tcp_repair.hpp"

namespace crx {
namespace {

struct FreeContext {
  void operator()(nft_ctx* context) const { ::nft_ctx_free(context); }
};

// "a . p . b . q" for what the connection sends, and the other way round.
std::string elements(const std::vector<BlockedConnection>& connections, int family) {
  std::string text;
  const auto add = [&](const InetAddress& from, const InetAddress& to) {
    text += fmt::format("{}{} . {} . {} . {}", text.empty() ? "" : ", ", from.host_text(), from.port, to.host_text(), to.port);
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

struct PacketBlock::Rules {
  std::unique_ptr<nft_ctx, FreeContext> context;

  Rules() : context(::nft_ctx_new(NFT_CTX_DEFAULT)) {
    if (!context) throw Error(ErrorCode::unsupported, "holding packets back", "nftables cannot be opened");
    ::nft_ctx_buffer_output(context.get());
    ::nft_ctx_buffer_error(context.get());
  }
  void run(const std::string& commands) {
    if (::nft_run_cmd_from_buffer(context.get(), commands.c_str()) == 0) return;
    std::string why = ::nft_ctx_get_error_buffer(context.get());
    why = why.substr(0, why.find('\n'));
    throw Error(ErrorCode::unsupported, "holding packets back", why)
        .with_hint("moving TCP connections needs nftables in the kernel, and CAP_NET_ADMIN");
  }
};

PacketBlock::PacketBlock(std::string session) : table_("crx-" + std::move(session)) {}
PacketBlock::~PacketBlock() { release(); }

void PacketBlock::hold(std::vector<BlockedConnection> connections) {
  if (connections.empty()) return;
  if (!rules_) {
    auto rules = std::make_unique<Rules>();
    rules->run(rules_text(table_, connections, true));
    rules_ = std::move(rules);
  } else {
    for (const auto& [set, family] : {std::pair{"c4", AF_INET}, std::pair{"c6", AF_INET6}}) {
      const std::string more = elements(connections, family);
      if (!more.empty()) rules_->run(fmt::format("add element inet {} {} {{ {} }}\n", table_, set, more));
    }
  }
  connections_.insert(connections_.end(), std::make_move_iterator(connections.begin()),
                      std::make_move_iterator(connections.end()));
}

void PacketBlock::silence() noexcept {
  for (BlockedConnection& connection : connections_) {
    try {
      enter_repair(connection.own.get(), connection.local.text());
    } catch (const std::exception& error) {
      log::warn("ending a moved connection silently: {}", error.what());
    }
    connection.own.reset();
  }
}

void PacketBlock::release() noexcept {
  connections_.clear();
  rules_.reset();  // and with its socket the table
}

void PacketBlock::abandon() noexcept {
  if (!rules_) return;
  try {
    rules_->run(rules_text(table_ + "-kept", connections_, false));
    log::warn("packets of its TCP connections stay blocked by the nftables table inet {}-kept", table_);
  } catch (const std::exception& error) {
    log::warn("keeping packets back: {}", error.what());
  }
  release();
}

}  // namespace crx
