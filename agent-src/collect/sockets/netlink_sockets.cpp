// Netlink sockets: their addresses and multicast groups. Queued messages describe this host and do not move.
#include <fmt/format.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <string_view>
#include <vector>

#include "agent-src/collect/sockets/inet_sockets.hpp"
#include "agent-src/collect/sockets/socket_options.hpp"
#include "common/base/error.hpp"
#include "common/image/schema/net.pb.h"

namespace crx {
namespace {

constexpr uint32_t kConnected = 1, kUnconnected = 7;
constexpr char kNetlinkAgain[] = "try again when the program has read them";
constexpr char kNetlinkRemedy[] = "close it before moving the program";

struct Family {
  int protocol;
  std::string_view name;
  bool groups;  // the group numbers mean the same on every host
};
constexpr std::array<Family, 6> kFamilies = {{{NETLINK_ROUTE, "route", true},
                                              {NETLINK_USERSOCK, "usersock", true},
                                              {NETLINK_SOCK_DIAG, "sock_diag", true},
                                              {NETLINK_KOBJECT_UEVENT, "kobject_uevent", true},
                                              {NETLINK_NETFILTER, "netfilter", true},
                                              {NETLINK_GENERIC, "generic", false}}};

const Family* family_of(int protocol) {
  for (const Family& family : kFamilies) {
    if (family.protocol == protocol) return &family;
  }
  return nullptr;
}

bool has_message(int fd) {
  pollfd poll{fd, POLLIN, 0};
  return ::poll(&poll, 1, 0) == 1 && poll.revents != 0;
}

std::vector<uint32_t> groups_of(int fd) {
  std::vector<uint32_t> words(128);
  auto length = static_cast<socklen_t>(words.size() * sizeof(uint32_t));
  if (::getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, words.data(), &length) != 0) length = 0;
  words.resize(std::min(words.size(), std::size_t{length} / sizeof(uint32_t)));
  while (!words.empty() && words.back() == 0) words.pop_back();
  return words;
}

class NetlinkSockets final : public FdKind {
 public:
  const char* name() const override { return "netlink sockets"; }
  bool matches(const OpenFile& file) const override {
    const auto identity = identify_socket(file);
    return identity && identity->family == AF_NETLINK;
  }

  void inspect(const OpenFile& file, const std::vector<OpenFile>&, InspectContext& context) override {
    const BorrowedSocket borrowed(file);
    const auto identity = identify_socket(borrowed.get());
    if (!identity) return;
    const std::string problem = reason(borrowed.get(), *identity);
    if (!problem.empty()) context.refusals.push_back(refusal_of(file, problem, kNetlinkRemedy));
  }

  void collect(OpenFile& file, FdContext& context, img::file_entry& entry) override {
    const int fd = file.own.get();
    const SocketIdentity identity = identify_socket(fd).value_or(SocketIdentity{});
    const std::string problem = reason(fd, identity);
    if (!problem.empty()) refuse(file, problem, kNetlinkRemedy);
    if (has_message(fd)) {
      refuse(file,
             fmt::format("messages wait to be read from the netlink socket ({})", family_of(identity.protocol)->name),
             kNetlinkAgain);
    }
    sockaddr_nl own{}, peer{};
    socklen_t length = sizeof own;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &length) != 0)
      throw_errno("collecting a netlink socket", file.label());
    length = sizeof peer;
    const bool connected = ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) == 0 &&
                           (peer.nl_pid != 0 || peer.nl_groups != 0);
    entry.set_type(img::NETLINKSK);
    img::netlink_sk_entry& nlsk = *entry.mutable_nlsk();
    nlsk.set_id(file.id);
    nlsk.set_ino(static_cast<uint32_t>(file.st.st_ino));
    nlsk.set_protocol(static_cast<uint32_t>(identity.protocol));
    nlsk.set_state(connected ? kConnected : kUnconnected);
    nlsk.set_flags(file.info.flags);
    nlsk.set_portid(own.nl_pid);
    for (const uint32_t word : groups_of(fd)) nlsk.add_groups(word);
    nlsk.set_dst_portid(peer.nl_pid);
    nlsk.set_dst_group(peer.nl_groups);
    *nlsk.mutable_fown() = read_file_owner(file);
    *nlsk.mutable_opts() = read_socket_options(file, context);
    if (identity.type != SOCK_RAW) context.extra(file).mutable_inet();  // the presence of the field marks SOCK_DGRAM
    add_inet_options(options_.read(fd, false), context.extra(file));
  }

 private:
  static std::string reason(int fd, const SocketIdentity& identity) {
    const Family* family = family_of(identity.protocol);
    if (family == nullptr)
      return fmt::format("it is a netlink socket of family {}, which cannot be moved", identity.protocol);
    if (!family->groups && !groups_of(fd).empty()) {
      return fmt::format("it is a netlink socket ({}) that listens to groups, whose numbers differ from host to host",
                         family->name);
    }
    return socket_option_problem(fd);
  }

  InetOptionReader options_;
};

}  // namespace

FdKindPtr make_netlink_sockets() {
  return std::make_unique<NetlinkSockets>();
}

}  // namespace crx
