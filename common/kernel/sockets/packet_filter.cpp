#include "common/kernel/sockets/packet_filter.hpp"

#include <netinet/in.h>  // before linux/netfilter.h, which leaves out then what both declare

#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <vector>

#include "common/base/c_ptr.hpp"
#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr char kPacketFilterStep[] = "holding packets back";
constexpr int kAnswerMs = 10'000;
constexpr std::size_t kBufferBytes = 1 << 18;
constexpr std::size_t kElementsPerMessage = 500;  // a netlink attribute holds less than 64 KiB
constexpr uint32_t kTableOwner = 0x2;             // NFT_TABLE_F_OWNER, Linux 5.12
constexpr int32_t kPriority = -400;               // before connection tracking and all ordinary chains
constexpr uint32_t kRegisterBytes = 4;
constexpr uint32_t kFirstRegister = NFT_REG32_00;

// The parts of the table that differ between IPv4 and IPv6. `type` holds nft's type numbers, by which `nft list` shows
// the set.
struct Family {
  int family;
  const char* set;
  uint32_t set_id;
  uint8_t protocol;  // of nfproto
  uint32_t address_bytes;
  uint32_t source_at, destination_at;  // in the network header
  uint32_t type;

  uint32_t key_bytes() const noexcept { return 2 * (address_bytes + kRegisterBytes); }
};
constexpr uint32_t kIpv4Type = 7, kIpv6Type = 8, kServiceType = 13, kTypeBits = 6;
constexpr uint32_t key_type(uint32_t address) {
  return (((((address << kTypeBits) | kServiceType) << kTypeBits) | address) << kTypeBits) | kServiceType;
}
constexpr std::array<Family, 2> kFamilies = {{
    {AF_INET, "c4", 1, NFPROTO_IPV4, 4, 12, 16, key_type(kIpv4Type)},
    {AF_INET6, "c6", 2, NFPROTO_IPV6, 16, 8, 24, key_type(kIpv6Type)},
}};

using Table = CPtr<nftnl_table, ::nftnl_table_free>;
using Chain = CPtr<nftnl_chain, ::nftnl_chain_free>;
using Set = CPtr<nftnl_set, ::nftnl_set_free>;
using Rule = CPtr<nftnl_rule, ::nftnl_rule_free>;

// --- the rule "META nfproto FAMILY, META l4proto tcp, SADDR . SPORT . DADDR . DPORT @SET drop" ---

nftnl_expr* add_expression(nftnl_rule* rule, const char* name) {
  nftnl_expr* expression = ::nftnl_expr_alloc(name);
  if (expression == nullptr) throw Error(ErrorCode::kernel, kPacketFilterStep, "no memory for a packet filter", ENOMEM);
  ::nftnl_rule_add_expr(rule, expression);
  return expression;
}

void match_meta(nftnl_rule* rule, uint32_t key, uint8_t value) {
  nftnl_expr* load = add_expression(rule, "meta");
  ::nftnl_expr_set_u32(load, NFTNL_EXPR_META_KEY, key);
  ::nftnl_expr_set_u32(load, NFTNL_EXPR_META_DREG, NFT_REG_1);
  nftnl_expr* compare = add_expression(rule, "cmp");
  ::nftnl_expr_set_u32(compare, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
  ::nftnl_expr_set_u32(compare, NFTNL_EXPR_CMP_OP, NFT_CMP_EQ);
  ::nftnl_expr_set(compare, NFTNL_EXPR_CMP_DATA, &value, sizeof value);
}

// Loads `bytes` of a header into the registers from `first` on; returns the register behind them.
uint32_t load_payload(nftnl_rule* rule, uint32_t first, uint32_t base, uint32_t offset, uint32_t bytes) {
  nftnl_expr* load = add_expression(rule, "payload");
  ::nftnl_expr_set_u32(load, NFTNL_EXPR_PAYLOAD_BASE, base);
  ::nftnl_expr_set_u32(load, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
  ::nftnl_expr_set_u32(load, NFTNL_EXPR_PAYLOAD_LEN, bytes);
  ::nftnl_expr_set_u32(load, NFTNL_EXPR_PAYLOAD_DREG, first);
  return first + (bytes + kRegisterBytes - 1) / kRegisterBytes;
}

Rule make_rule(const std::string& table, const char* chain, const Family& family) {
  Rule rule(::nftnl_rule_alloc());
  ::nftnl_rule_set_u32(rule.get(), NFTNL_RULE_FAMILY, NFPROTO_INET);
  ::nftnl_rule_set_str(rule.get(), NFTNL_RULE_TABLE, table.c_str());
  ::nftnl_rule_set_str(rule.get(), NFTNL_RULE_CHAIN, chain);
  match_meta(rule.get(), NFT_META_NFPROTO, family.protocol);
  match_meta(rule.get(), NFT_META_L4PROTO, IPPROTO_TCP);
  uint32_t at = kFirstRegister;
  at = load_payload(rule.get(), at, NFT_PAYLOAD_NETWORK_HEADER, family.source_at, family.address_bytes);
  at = load_payload(rule.get(), at, NFT_PAYLOAD_TRANSPORT_HEADER, 0, sizeof(uint16_t));
  at = load_payload(rule.get(), at, NFT_PAYLOAD_NETWORK_HEADER, family.destination_at, family.address_bytes);
  load_payload(rule.get(), at, NFT_PAYLOAD_TRANSPORT_HEADER, sizeof(uint16_t), sizeof(uint16_t));
  nftnl_expr* lookup = add_expression(rule.get(), "lookup");
  ::nftnl_expr_set_u32(lookup, NFTNL_EXPR_LOOKUP_SREG, kFirstRegister);
  ::nftnl_expr_set_str(lookup, NFTNL_EXPR_LOOKUP_SET, family.set);
  ::nftnl_expr_set_u32(lookup, NFTNL_EXPR_LOOKUP_SET_ID, family.set_id);
  nftnl_expr* drop = add_expression(rule.get(), "immediate");
  ::nftnl_expr_set_u32(drop, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
  ::nftnl_expr_set_u32(drop, NFTNL_EXPR_IMM_VERDICT, NF_DROP);
  return rule;
}

Set make_set(const std::string& table, const Family& family) {
  Set set(::nftnl_set_alloc());
  ::nftnl_set_set_u32(set.get(), NFTNL_SET_FAMILY, NFPROTO_INET);
  ::nftnl_set_set_str(set.get(), NFTNL_SET_TABLE, table.c_str());
  ::nftnl_set_set_str(set.get(), NFTNL_SET_NAME, family.set);
  ::nftnl_set_set_u32(set.get(), NFTNL_SET_ID, family.set_id);
  ::nftnl_set_set_u32(set.get(), NFTNL_SET_KEY_TYPE, family.type);
  ::nftnl_set_set_u32(set.get(), NFTNL_SET_KEY_LEN, family.key_bytes());
  return set;
}

Chain make_chain(const std::string& table, const char* name, uint32_t hook) {
  Chain chain(::nftnl_chain_alloc());
  ::nftnl_chain_set_u32(chain.get(), NFTNL_CHAIN_FAMILY, NFPROTO_INET);
  ::nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_TABLE, table.c_str());
  ::nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_NAME, name);
  ::nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_TYPE, "filter");
  ::nftnl_chain_set_u32(chain.get(), NFTNL_CHAIN_HOOKNUM, hook);
  ::nftnl_chain_set_s32(chain.get(), NFTNL_CHAIN_PRIO, kPriority);
  return chain;
}

// The key of the packets that `from` sends to `to`: each part fills whole registers.
std::vector<uint8_t> key_of(const Family& family, const InetAddress& from, const InetAddress& to) {
  std::vector<uint8_t> key(family.key_bytes());
  uint8_t* at = key.data();
  for (const InetAddress* end : {&from, &to}) {
    std::memcpy(at, end->words.data(), family.address_bytes);
    const uint16_t port = htons(end->port);
    std::memcpy(at + family.address_bytes, &port, sizeof port);
    at += family.address_bytes + kRegisterBytes;
  }
  return key;
}

void add_element(nftnl_set* set, const std::vector<uint8_t>& key) {
  nftnl_set_elem* element = ::nftnl_set_elem_alloc();
  ::nftnl_set_elem_set(element, NFTNL_SET_ELEM_KEY, key.data(), static_cast<uint32_t>(key.size()));
  ::nftnl_set_elem_add(set, element);
}

// Several messages of which the kernel executes all or none (NFNL_MSG_BATCH_BEGIN).
class Batch {
 public:
  Batch() : bytes_(kBufferBytes) { put_bound(NFNL_MSG_BATCH_BEGIN); }

  // fill: writes the attributes of one message.
  void add(uint16_t type, uint16_t flags, const std::function<void(nlmsghdr*)>& fill) {
    nlmsghdr* header = ::nftnl_nlmsg_build_hdr(reinterpret_cast<char*>(room()), type, NFPROTO_INET,
                                               static_cast<uint16_t>(flags | NLM_F_ACK), ++sequence_);
    fill(header);
    used_ += header->nlmsg_len;
  }
  std::span<const std::byte> end() {
    last_ = sequence_;
    put_bound(NFNL_MSG_BATCH_END);
    return std::span(bytes_).first(used_);
  }
  // The sequence number of the last message that gets an answer.
  uint32_t last() const noexcept { return last_; }

 private:
  std::byte* room() { return bytes_.data() + used_; }
  void put_bound(uint16_t type) {
    nlmsghdr* header = ::mnl_nlmsg_put_header(room());
    header->nlmsg_type = type;
    header->nlmsg_flags = NLM_F_REQUEST;
    header->nlmsg_seq = ++sequence_;
    auto* message = static_cast<nfgenmsg*>(::mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg)));
    message->nfgen_family = AF_UNSPEC;
    message->version = NFNETLINK_V0;
    message->res_id = htons(NFNL_SUBSYS_NFTABLES);
    used_ += header->nlmsg_len;
  }

  std::vector<std::byte> bytes_;
  std::size_t used_ = 0;
  uint32_t sequence_ = 0, last_ = 0;
};

}  // namespace

class PacketFilter::Socket {
 public:
  Socket() : socket_(::mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC)) {
    if (socket_ == nullptr || ::mnl_socket_bind(socket_, 0, MNL_SOCKET_AUTOPID) < 0) {
      const int err = errno;
      if (socket_ != nullptr) ::mnl_socket_close(socket_);
      fail(err);
    }
    const int bytes = 4 * static_cast<int>(kBufferBytes);
    static_cast<void>(::setsockopt(fd(), SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes));
    static_cast<void>(::setsockopt(fd(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes));
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() { ::mnl_socket_close(socket_); }

  // Sends the batch. Returns 0, or the errno of the first message that failed; the kernel has then executed none.
  [[nodiscard]] int run(Batch& batch) {
    const std::span<const std::byte> bytes = batch.end();
    if (::mnl_socket_sendto(socket_, bytes.data(), bytes.size()) < 0) return errno;
    int failed = 0;
    for (bool answered = false; !answered;) {
      pollfd readable = {fd(), POLLIN, 0};
      if (::poll(&readable, 1, kAnswerMs) == 0) return ETIMEDOUT;
      std::array<char, 1 << 14> buffer;
      const ssize_t got = ::mnl_socket_recvfrom(socket_, buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return errno;
      int left = static_cast<int>(got);
      for (auto* header = reinterpret_cast<nlmsghdr*>(buffer.data()); ::mnl_nlmsg_ok(header, left);
           header = ::mnl_nlmsg_next(header, &left)) {
        if (header->nlmsg_type != NLMSG_ERROR) continue;
        const auto* error = static_cast<const nlmsgerr*>(::mnl_nlmsg_get_payload(header));
        if (error->error != 0 && failed == 0) failed = -error->error;
        // A batch that cannot be committed gets one answer, for the message that begins it.
        if (header->nlmsg_seq == batch.last() || (error->error != 0 && header->nlmsg_seq == 1)) answered = true;
      }
    }
    return failed;
  }

  [[noreturn]] static void fail(int err) {
    throw Error(ErrorCode::unsupported, kPacketFilterStep, "nftables refuses a table that drops packets", err)
        .with_hint("moving TCP connections needs nftables in the kernel, and CAP_NET_ADMIN");
  }

 private:
  int fd() const { return ::mnl_socket_get_fd(socket_); }
  mnl_socket* socket_;
};

PacketFilter::PacketFilter() : socket_(std::make_unique<Socket>()) {}
PacketFilter::PacketFilter(PacketFilter&&) noexcept = default;
PacketFilter::~PacketFilter() = default;

void PacketFilter::make_table(const std::string& name, Lifetime lifetime) {
  Batch batch;
  const Table table(::nftnl_table_alloc());
  ::nftnl_table_set_u32(table.get(), NFTNL_TABLE_FAMILY, NFPROTO_INET);
  ::nftnl_table_set_str(table.get(), NFTNL_TABLE_NAME, name.c_str());
  if (lifetime == Lifetime::owned) ::nftnl_table_set_u32(table.get(), NFTNL_TABLE_FLAGS, kTableOwner);
  batch.add(NFT_MSG_NEWTABLE, NLM_F_CREATE,
            [&](nlmsghdr* header) { ::nftnl_table_nlmsg_build_payload(header, table.get()); });
  for (const Family& family : kFamilies) {
    const Set set = make_set(name, family);
    batch.add(NFT_MSG_NEWSET, NLM_F_CREATE,
              [&](nlmsghdr* header) { ::nftnl_set_nlmsg_build_payload(header, set.get()); });
  }
  for (const auto& [chain_name, hook] :
       {std::pair{"input", uint32_t{NF_INET_LOCAL_IN}}, std::pair{"output", uint32_t{NF_INET_LOCAL_OUT}}}) {
    const Chain chain = make_chain(name, chain_name, hook);
    batch.add(NFT_MSG_NEWCHAIN, NLM_F_CREATE,
              [&](nlmsghdr* header) { ::nftnl_chain_nlmsg_build_payload(header, chain.get()); });
    for (const Family& family : kFamilies) {
      const Rule rule = make_rule(name, chain_name, family);
      batch.add(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND,
                [&](nlmsghdr* header) { ::nftnl_rule_nlmsg_build_payload(header, rule.get()); });
    }
  }
  if (const int err = socket_->run(batch); err != 0) Socket::fail(err);
}

void PacketFilter::add(const std::string& name, std::span<const ConnectionEnds> connections) {
  for (const Family& family : kFamilies) {
    std::vector<std::vector<uint8_t>> keys;
    for (const auto& [local, peer] : connections) {
      if (local.family != family.family) continue;
      keys.push_back(key_of(family, local, peer));
      keys.push_back(key_of(family, peer, local));
    }
    for (std::size_t first = 0; first < keys.size(); first += kElementsPerMessage) {
      const Set set = make_set(name, family);
      const std::size_t end = std::min(first + kElementsPerMessage, keys.size());
      for (std::size_t i = first; i < end; ++i) add_element(set.get(), keys[i]);
      Batch batch;
      batch.add(NFT_MSG_NEWSETELEM, NLM_F_CREATE,
                [&](nlmsghdr* header) { ::nftnl_set_elems_nlmsg_build_payload(header, set.get()); });
      if (const int err = socket_->run(batch); err != 0) Socket::fail(err);
    }
  }
}

bool PacketFilter::remove_table(const std::string& name) {
  Batch batch;
  const Table table(::nftnl_table_alloc());
  ::nftnl_table_set_u32(table.get(), NFTNL_TABLE_FAMILY, NFPROTO_INET);
  ::nftnl_table_set_str(table.get(), NFTNL_TABLE_NAME, name.c_str());
  batch.add(NFT_MSG_DELTABLE, 0, [&](nlmsghdr* header) { ::nftnl_table_nlmsg_build_payload(header, table.get()); });
  const int err = socket_->run(batch);
  if (err == ENOENT) return false;
  if (err != 0) Socket::fail(err);
  return true;
}

}  // namespace crx
