// Netlink sockets: made anew, receiving nothing until the commit.
#include <fmt/format.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <map>

#include "agent-dst/restore/sockets/inet_sockets.hpp"
#include "agent-dst/restore/sockets/socket_options.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/kernel/sockets/inet_options.hpp"

namespace crx {
namespace {

constexpr char kNetlinkSocketsStep[] = "restoring a netlink socket";
constexpr int kMaxGroupWords = 128;

class NetlinkSockets final : public FdRestorer {
 public:
  const char* name() const override { return "netlink sockets"; }
  bool matches(const img::file_entry& entry) const override {
    return entry.type() == img::NETLINKSK && entry.has_nlsk();
  }

  Fd open(const img::file_entry& entry, FdRestoreContext& context) override {
    const img::netlink_sk_entry& nlsk = entry.nlsk();
    const img::crx_file_entry& extra = context.extra(entry.id());
    const std::string object = describe("netlink socket", entry.id(), context);
    if (nlsk.groups_size() > kMaxGroupWords || nlsk.protocol() >= MAX_LINKS) {
      throw Error(ErrorCode::corrupt_image, kNetlinkSocketsStep, fmt::format("{}: family {}", object, nlsk.protocol()));
    }
    const int type = extra.has_inet() ? SOCK_DGRAM : SOCK_RAW;
    Fd fd(::socket(AF_NETLINK, type | SOCK_CLOEXEC, static_cast<int>(nlsk.protocol())));
    if (!fd) throw_errno(kNetlinkSocketsStep, object);
    close_gate(fd.get(), Gate::nothing, object);
    set_address_options(fd.get(), nlsk.opts(), object);
    for (const img::crx_inet_option& option : extra.inet_options()) {
      const InetOption* known = find_inet_option(option.level(), option.name());
      if (known == nullptr)
        throw Error(ErrorCode::corrupt_image, kNetlinkSocketsStep, fmt::format("{}: option {}", object, option.name()));
      set_inet_option(fd.get(), *known, option.value(), object);
    }
    bind_it(fd.get(), nlsk, object);
    join(fd.get(), nlsk, object);
    set_status_flags(fd.get(), nlsk.flags(), object);
    kept_[entry.id()] = duplicate(fd.get());
    return fd;
  }

  void commit(FdRestoreContext& context) override {
    for (const auto& [id, fd] : kept_) {
      const std::string object = describe("netlink socket", id, context);
      open_gate(fd.get(), object);
      set_socket_options(fd.get(), context.entries.at(id).nlsk().opts(), context.extra(id).socket_options(), object);
    }
    kept_.clear();
  }

 private:
  static void bind_it(int fd, const img::netlink_sk_entry& nlsk, const std::string& object) {
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_pid = nlsk.portid();
    if (nlsk.portid() != 0 && ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      if (errno != EADDRINUSE) throw_errno(kNetlinkSocketsStep, object);
      // The kernel assigns most port numbers; a program that has not asked for one does not depend on it.
      log::warn("{}: its port {} is in use here; it gets another", object, nlsk.portid());
      address.nl_pid = 0;
      if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        throw_errno(kNetlinkSocketsStep, object);
    }
    if (nlsk.dst_portid() == 0 && nlsk.dst_group() == 0) return;
    address.nl_pid = nlsk.dst_portid();
    address.nl_groups = nlsk.dst_group();
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      throw_errno(kNetlinkSocketsStep, object);
  }

  static void join(int fd, const img::netlink_sk_entry& nlsk, const std::string& object) {
    for (int word = 0; word < nlsk.groups_size(); ++word) {
      for (int bit = 0; bit < 32; ++bit) {
        if ((nlsk.groups(word) >> bit & 1) == 0) continue;
        set_socket_int(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, word * 32 + bit + 1, "NETLINK_ADD_MEMBERSHIP", object);
      }
    }
  }

  std::map<uint32_t, Fd> kept_;  // until the commit
};

}  // namespace

FdRestorerPtr make_netlink_restorer() {
  return std::make_unique<NetlinkSockets>();
}

}  // namespace crx
