// Packet sockets: made anew, receiving nothing until the commit.
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

#include "agent-dst/restore/sockets/inet_sockets.hpp"
#include "agent-dst/restore/sockets/socket_options.hpp"
#include "common/base/error.hpp"
#include "common/kernel/sockets/inet_options.hpp"

namespace crx {
namespace {

constexpr char kPacketSocketsStep[] = "restoring a packet socket";
constexpr uint32_t kNoFanout = UINT32_MAX;
constexpr uint64_t kMostRingBytes = uint64_t{1} << 32;

class PacketSockets final : public FdRestorer {
 public:
  const char* name() const override { return "packet sockets"; }
  bool matches(const img::file_entry& entry) const override { return entry.type() == img::PACKETSK && entry.has_psk(); }

  Fd open(const img::file_entry& entry, FdRestoreContext& context) override {
    const img::packet_sock_entry& psk = entry.psk();
    const img::crx_file_entry& extra = context.extra(entry.id());
    const std::string object = describe("packet socket", entry.id(), context);
    const bool old = psk.type() == SOCK_PACKET;
    context.task.policy.check_capability(CAP_NET_RAW, object);
    if ((psk.type() != SOCK_RAW && psk.type() != SOCK_DGRAM && !old) || psk.protocol() > UINT16_MAX) {
      throw Error(ErrorCode::corrupt_image, kPacketSocketsStep,
                  fmt::format("{}: type {}, protocol {}", object, psk.type(), psk.protocol()));
    }
    // With protocol 0 a socket receives nothing yet. A SOCK_PACKET socket gets its protocol here or never.
    Fd fd(::socket(AF_PACKET, static_cast<int>(psk.type()) | SOCK_CLOEXEC, old ? static_cast<int>(psk.protocol()) : 0));
    if (!fd) throw_errno(kPacketSocketsStep, object);
    close_gate(fd.get(), Gate::nothing, object);
    while (old && ::recv(fd.get(), nullptr, 0, MSG_DONTWAIT) >= 0) {
    }
    set_address_options(fd.get(), psk.opts(), object);
    for (const img::crx_inet_option& option : extra.inet_options()) {
      const InetOption* known = find_inet_option(option.level(), option.name());
      if (known == nullptr)
        throw Error(ErrorCode::corrupt_image, kPacketSocketsStep, fmt::format("{}: option {}", object, option.name()));
      set_inet_option(fd.get(), *known, option.value(), object);
    }
    if (psk.has_rx_ring()) make_ring(fd.get(), PACKET_RX_RING, psk.rx_ring(), psk.version(), object);
    if (psk.has_tx_ring()) make_ring(fd.get(), PACKET_TX_RING, psk.tx_ring(), psk.version(), object);
    bind_link(fd.get(), psk, index_here(psk.ifindex(), extra.inet(), object), object);
    for (const img::packet_mclist& group : psk.mclist()) join(fd.get(), group, extra.inet(), object);
    if (psk.fanout() != kNoFanout)
      set_socket_int(fd.get(), SOL_PACKET, PACKET_FANOUT, static_cast<int>(psk.fanout()), "PACKET_FANOUT", object);
    set_status_flags(fd.get(), psk.flags(), object);
    kept_[entry.id()] = duplicate(fd.get());
    return fd;
  }

  void commit(FdRestoreContext& context) override {
    for (const auto& [id, fd] : kept_) {
      const std::string object = describe("packet socket", id, context);
      open_gate(fd.get(), object);
      set_socket_options(fd.get(), context.entries.at(id).psk().opts(), context.extra(id).socket_options(), object);
    }
    kept_.clear();
  }

 private:
  static uint32_t index_here(uint32_t index, const img::crx_inet_entry& names, const std::string& object) {
    for (const img::crx_multicast& name : names.groups()) {
      if (name.ifindex() != index || name.device().empty()) continue;
      const uint32_t here = ::if_nametoindex(name.device().c_str());
      if (here != 0) return here;
      throw Error(ErrorCode::refused, kPacketSocketsStep,
                  fmt::format("{}: there is no network device {} here", object, name.device()))
          .with_hint("make a device of this name here");
    }
    return index;
  }

  // The kernel checks the sizes of the ring.
  static void make_ring(int fd, int name, const img::packet_ring& ring, uint32_t version, const std::string& object) {
    tpacket_req3 request{};
    request.tp_block_size = ring.block_size();
    request.tp_block_nr = ring.block_nr();
    request.tp_frame_size = ring.frame_size();
    request.tp_frame_nr = ring.frame_nr();
    request.tp_retire_blk_tov = ring.retire_tmo();
    request.tp_sizeof_priv = ring.sizeof_priv();
    request.tp_feature_req_word = ring.features();
    const socklen_t length = version == TPACKET_V3 ? sizeof(tpacket_req3) : sizeof(tpacket_req);
    if (uint64_t{ring.block_size()} * ring.block_nr() > kMostRingBytes)
      throw Error(ErrorCode::corrupt_image, kPacketSocketsStep, object + ": its ring is too large");
    if (::setsockopt(fd, SOL_PACKET, name, &request, length) != 0) {
      throw Error(ErrorCode::refused, kPacketSocketsStep,
                  fmt::format("{}: a ring of {} blocks of {} bytes cannot be made here", object, ring.block_nr(),
                              ring.block_size()),
                  errno);
    }
  }

  static void bind_link(int fd, const img::packet_sock_entry& psk, uint32_t ifindex, const std::string& object) {
    if (psk.type() == SOCK_PACKET) {
      sockaddr address{};
      address.sa_family = AF_PACKET;
      char name[IF_NAMESIZE] = {};
      if (ifindex == 0) return;
      if (::if_indextoname(ifindex, name) == nullptr) throw_errno(kPacketSocketsStep, object);
      std::memcpy(address.sa_data, name, std::min(sizeof name, sizeof address.sa_data) - 1);
      if (::bind(fd, &address, sizeof address) != 0) throw_errno(kPacketSocketsStep, object);
      return;
    }
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = static_cast<uint16_t>(psk.protocol());
    address.sll_ifindex = static_cast<int>(ifindex);
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      throw_errno(kPacketSocketsStep, object);
  }

  static void join(int fd, const img::packet_mclist& group, const img::crx_inet_entry& names,
                   const std::string& object) {
    packet_mreq request{};
    if (group.addr().size() > sizeof request.mr_address)
      throw Error(ErrorCode::corrupt_image, kPacketSocketsStep, object + ": a group's address is too long");
    request.mr_ifindex = static_cast<int>(index_here(group.index(), names, object));
    request.mr_type = static_cast<uint16_t>(group.type());
    request.mr_alen = static_cast<uint16_t>(group.addr().size());
    std::memcpy(request.mr_address, group.addr().data(), group.addr().size());
    if (::setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request) != 0)
      throw_errno(kPacketSocketsStep, object);
  }

  std::map<uint32_t, Fd> kept_;  // until the commit
};

}  // namespace

FdRestorerPtr make_packet_restorer() {
  return std::make_unique<PacketSockets>();
}

}  // namespace crx
