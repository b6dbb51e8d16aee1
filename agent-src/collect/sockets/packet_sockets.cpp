// Packet sockets. Queued packets are not moved: such a socket may always miss some (packet(7), PACKET_STATISTICS).
#include <fmt/format.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/packet_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent-src/collect/sockets/inet_sockets.hpp"
#include "agent-src/collect/sockets/socket_options.hpp"
#include "common/base/error.hpp"
#include "common/image/schema/net.pb.h"
#include "common/kernel/sockets/sock_diag.hpp"

namespace crx {
namespace {

constexpr char kPacketSocketsStep[] = "collecting a packet socket";
constexpr char kPacketRemedy[] = "close it before moving the program";
constexpr char kRingReason[] =
    "it is a packet socket with a ring (PACKET_RX_RING) that is mapped, which cannot be moved";

struct PacketInfo {
  std::optional<packet_diag_ring> rx_ring, tx_ring;
  uint16_t protocol = 0;  // in network byte order
  int ifindex = 0;        // 0: not bound to an interface
  std::vector<packet_diag_mclist> groups;
  bool has_ring() const { return rx_ring || tx_ring; }
};

// Asks sock_diag(7) for what only it reports about the packet socket with this inode.
PacketInfo ask_diag(ino_t inode) {
  packet_diag_req request{};
  request.sdiag_family = AF_PACKET;
  request.pdiag_show = PACKET_SHOW_INFO | PACKET_SHOW_MCLIST | PACKET_SHOW_RING_CFG;
  PacketInfo info;
  const int err = SockDiag().list(request, [&](DiagBytes answer) {
    const auto socket = diag_cast<packet_diag_msg>(answer);
    if (socket.pdiag_ino != inode) return;
    info.protocol = htons(socket.pdiag_num);
    each_diag_attribute(answer, sizeof(packet_diag_msg), [&](int type, DiagBytes content) {
      if (type == PACKET_DIAG_RX_RING) info.rx_ring = diag_cast<packet_diag_ring>(content);
      if (type == PACKET_DIAG_TX_RING) info.tx_ring = diag_cast<packet_diag_ring>(content);
      if (type == PACKET_DIAG_INFO)
        info.ifindex = std::max(static_cast<int>(diag_cast<packet_diag_info>(content).pdi_index), 0);
      if (type != PACKET_DIAG_MCLIST) return;
      info.groups.resize(content.size() / sizeof(packet_diag_mclist));
      std::memcpy(info.groups.data(), content.data(), info.groups.size() * sizeof(packet_diag_mclist));
    });
  });
  if (err != 0)
    throw Error(ErrorCode::unsupported, kPacketSocketsStep, "the kernel does not tell of it", err)
        .with_hint("load or build in packet_diag (CONFIG_PACKET_DIAG)");
  return info;
}

std::string interface_name(int index) {
  char name[IF_NAMESIZE] = {};
  return index > 0 && ::if_indextoname(static_cast<unsigned>(index), name) != nullptr ? name : "";
}

// Whether a process of the tree has mapped the socket's ring.
bool is_mapped(const OpenFile& file) {
  std::set<pid_t> pids{file.pid};
  if (file.tree_members) pids.insert(file.tree_members->begin(), file.tree_members->end());
  return std::any_of(pids.begin(), pids.end(), [&](pid_t pid) {
    const auto maps = try_read_file(fmt::format("/proc/{}/maps", pid));
    return maps && maps->find(file.link) != std::string::npos;
  });
}

void describe_ring(const packet_diag_ring& ring, img::packet_ring& entry) {
  entry.set_block_size(ring.pdr_block_size);
  entry.set_block_nr(ring.pdr_block_nr);
  entry.set_frame_size(ring.pdr_frame_size);
  entry.set_frame_nr(ring.pdr_frame_nr);
  entry.set_retire_tmo(ring.pdr_retire_tmo);
  entry.set_sizeof_priv(ring.pdr_sizeof_priv);
  entry.set_features(ring.pdr_features);
}

class PacketSockets final : public FdKind {
 public:
  const char* name() const override { return "packet sockets"; }
  bool matches(const OpenFile& file) const override {
    const auto identity = identify_socket(file);
    return identity && identity->family == AF_PACKET;
  }

  void inspect(const OpenFile& file, const std::vector<OpenFile>&, InspectContext& context) override {
    const BorrowedSocket borrowed(file);
    if (!identify_socket(borrowed.get())) return;
    if (ask_diag(file.st.st_ino).has_ring() && is_mapped(file))
      context.refusals.push_back(refusal_of(file, kRingReason, kPacketRemedy));
    const std::string problem = socket_option_problem(borrowed.get());
    if (!problem.empty()) context.refusals.push_back(refusal_of(file, problem, kFilterRemedy));
  }

  void collect(OpenFile& file, FdContext& context, img::file_entry& entry) override {
    const int fd = file.own.get();
    const PacketInfo info = ask_diag(file.st.st_ino);
    if (info.has_ring() && is_mapped(file)) refuse(file, kRingReason, kPacketRemedy);
    entry.set_type(img::PACKETSK);
    img::packet_sock_entry& psk = *entry.mutable_psk();
    psk.set_id(file.id);
    psk.set_type(static_cast<uint32_t>(socket_int(fd, SOL_SOCKET, SO_TYPE)));
    psk.set_protocol(info.protocol);
    psk.set_flags(file.info.flags);
    psk.set_ifindex(static_cast<uint32_t>(info.ifindex));
    *psk.mutable_fown() = read_file_owner(file);
    *psk.mutable_opts() = read_socket_options(file, context);
    const auto get = [&](int name) { return static_cast<uint32_t>(socket_int(fd, SOL_PACKET, name)); };
    psk.set_version(get(PACKET_VERSION));
    psk.set_reserve(get(PACKET_RESERVE));
    psk.set_aux_data(get(PACKET_AUXDATA) != 0);
    psk.set_orig_dev(get(PACKET_ORIGDEV) != 0);
    psk.set_vnet_hdr(get(PACKET_VNET_HDR) != 0);
    psk.set_loss(get(PACKET_LOSS) != 0);
    psk.set_timestamp(get(PACKET_TIMESTAMP));
    psk.set_copy_thresh(get(PACKET_COPY_THRESH));
    if (info.rx_ring) describe_ring(*info.rx_ring, *psk.mutable_rx_ring());
    if (info.tx_ring) describe_ring(*info.tx_ring, *psk.mutable_tx_ring());
    if (get(PACKET_FANOUT) != 0) psk.set_fanout(get(PACKET_FANOUT));
    img::crx_inet_entry& names = *context.extra(file).mutable_inet();
    add_name(info.ifindex, names);
    for (const packet_diag_mclist& group : info.groups) {
      img::packet_mclist& member = *psk.add_mclist();
      member.set_index(group.pdmc_index);
      member.set_type(group.pdmc_type);
      member.set_addr(std::string(reinterpret_cast<const char*>(group.pdmc_addr),
                                  std::min<std::size_t>(group.pdmc_alen, sizeof group.pdmc_addr)));
      add_name(static_cast<int>(group.pdmc_index), names);
    }
    add_inet_options(options_.read(fd, false), context.extra(file));
  }

 private:
  // Adds the interface's name, by which the destination finds it.
  static void add_name(int ifindex, img::crx_inet_entry& names) {
    if (ifindex <= 0) return;
    img::crx_multicast& name = *names.add_groups();
    name.set_ifindex(static_cast<uint32_t>(ifindex));
    name.set_group("");
    name.set_device(interface_name(ifindex));
  }

  InetOptionReader options_;
};

}  // namespace

FdKindPtr make_packet_sockets() {
  return std::make_unique<PacketSockets>();
}

}  // namespace crx
