// Unix sockets: their peers, names and receive queues.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <span>

#include "agent-src/collect/ipc/pipe_content.hpp"
#include "agent-src/collect/memory/memfd.hpp"
#include "agent-src/collect/sockets/socket_options.hpp"
#include "agent-src/collect/sockets/unix_name.hpp"
#include "agent-src/collect/sockets/unix_queue.hpp"
#include "agent-src/collect/sockets/unix_socket_table.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/kernel/introspect/kernel_view.hpp"
#include "common/kernel/sockets/unix_diag.hpp"
#include "common/proc/status.hpp"

namespace crx {
namespace {

constexpr char kUnixSocketsStep[] = "collecting unix sockets";
constexpr uint32_t kExternal = 1;  // unix_sk_entry.uflags: an end outside the tree, found again by its name
constexpr char kPeerRemedy[] = "end the other process, or use --ext-unix-sk where it is a datagram socket with a name";
constexpr char kElsewhereReason[] = "it is a unix socket of another network namespace";
constexpr char kElsewhereRemedy[] = "close it before moving the program";
constexpr char kWaitRemedy[] = "try again when the program has accepted it";

// Whether the link leads to a unix socket, by the protocol name (sockfs, Linux 2.6.39). For running tasks.
bool is_unix(const std::string& proc_link) {
  char name[32] = {};
  return ::getxattr(proc_link.c_str(), "system.sockprotoname", name, sizeof name - 1) > 0 &&
         std::string_view(name).starts_with("UNIX");
}
bool is_unix(int fd) {
  return socket_int(fd, SOL_SOCKET, SO_DOMAIN, AF_UNSPEC) == AF_UNIX;
}

img::crx_ucred to_image(const ucred& credentials) {
  img::crx_ucred entry;
  entry.set_pid(credentials.pid);
  entry.set_uid(credentials.uid);
  entry.set_gid(credentials.gid);
  return entry;
}

int bytes_sent(int fd) {
  int bytes = 0;
  return ::ioctl(fd, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

// A packet whose descriptors have ids.
struct Packet {
  UnixPacket content;
  std::vector<uint32_t> rights;
};

// A socket of the tree.
struct Inside {
  uint32_t id = 0;
  int fd = -1;  // our duplicate
  UnixSocketInfo info;
  std::vector<Packet> packets;
  // For a listening socket, in the order of info.waiting; nothing if the kernel cannot be read.
  std::optional<std::vector<UnacceptedConnection>> unaccepted;
  std::string trouble;  // why `unaccepted` could not be read
  int unread = 0;       // bytes (with overhead) that it sent and that are not received yet
};

std::string unaccepted_reason(const char* what, const Inside& listener) {
  return fmt::format("{}{}{}", what, listener.trouble.empty() ? "" : ": ", listener.trouble);
}

class UnixSockets final : public FdKind {
 public:
  const char* name() const override { return "unix sockets"; }

  bool matches(const OpenFile& file) const override {
    if (!S_ISSOCK(file.st.st_mode) || file.path_only()) return false;
    return file.own ? is_unix(file.own.get()) : is_unix(file.proc_link());
  }

  void inspect(const OpenFile& file, const std::vector<OpenFile>& all, InspectContext& context) override {
    const UnixSocketInfo* found = table_.find(inode_of(file));
    // The socket may be younger than the table.
    const auto late = found == nullptr ? find_unix_socket(inode_of(file)) : std::nullopt;
    if (found == nullptr && !late) {
      if (is_open_still(file)) context.refusals.push_back(refusal_of(file, kElsewhereReason, kElsewhereRemedy));
      return;
    }
    const UnixSocketInfo& info = late ? *late : *found;
    // Opened here, so that it is not opened in the stop.
    if (info.state == kSocketListening && context.options.kernel != nullptr) context.options.kernel->unaccepted();
    const auto inside = [&](uint32_t inode) {
      for (const OpenFile& other : all) {
        if (S_ISSOCK(other.st.st_mode) && inode_of(other) == inode) return true;
      }
      return false;
    };
    std::vector<uint32_t> others = info.waiting;
    if (info.peer) others.push_back(*info.peer);
    if (const auto acceptor = table_.acceptor_of(info.inode)) others.push_back(*acceptor);
    for (const uint32_t other : others) {
      if (other == 0 || inside(other) || table_.may_reconnect(info, other, context.options)) continue;
      // Without a holder it is in flight in another socket, or closed.
      const auto holders = holders_of(other, file, true);
      if (!holders.empty())
        context.refusals.push_back(refusal_of(file, table_.outside_reason(info, other, holders), kPeerRemedy));
    }
  }

  // Adds every unix socket of the tree with its queue, also sockets that are only in flight in another one.
  void discover(FdContext& context) override {
    for (const OpenFile& file : context.files) {
      if (matches(file)) add_inside(file.id, file.own.get(), file.st, file.label(), context, file);
    }
    for (auto& [inode, socket] : inside_) {
      if (has_unaccepted(socket)) read_unaccepted(socket, context.task.options.kernel);
    }
  }

  void collect(OpenFile& file, FdContext& context, img::file_entry& entry) override {
    const auto found = inside_.find(inode_of(file));
    if (found == inside_.end()) refuse(file, kElsewhereReason, kElsewhereRemedy);
    const Inside& socket = found->second;
    entry.set_type(img::UNIXSK);
    img::unix_sk_entry& sk = *entry.mutable_usk();
    img::crx_unix_socket& extra = *context.extra(file).mutable_unix();
    sk.set_id(file.id);
    sk.set_ino(socket.info.inode);
    sk.set_type(static_cast<uint32_t>(socket.info.type));
    sk.set_state(static_cast<uint32_t>(socket.info.state));
    sk.set_flags(file.info.flags);
    sk.set_uflags(0);
    sk.set_backlog(socket.info.state == kSocketListening ? socket.info.send_queue : 0);
    sk.set_peer(peer_of(file, socket, context, extra));
    *sk.mutable_fown() = read_file_owner(file);
    *sk.mutable_opts() = read_socket_options(file, context);
    collect_unix_name(file, socket.info, sk, extra);
    if (socket.info.shutdown != 0) sk.set_shutdown(static_cast<img::sk_shutdown>(socket.info.shutdown & 3));
    collect_state(file, extra);
    collect_waiting(file, socket, context, extra);
    append_packets(socket, context.task.images, extra);
  }

 private:
  static uint32_t inode_of(const OpenFile& file) { return static_cast<uint32_t>(file.st.st_ino); }

  void add_inside(uint32_t id, int fd, const struct stat& st, const std::string& label, FdContext& context,
                  const OpenFile& holder) {
    const auto inode = static_cast<uint32_t>(st.st_ino);
    const UnixSocketInfo* known = table_.find(inode);
    if (known == nullptr) return;
    const auto [slot, is_new] = inside_.try_emplace(inode);
    if (!is_new) return;
    Inside& socket = slot->second;
    socket.id = id;
    socket.fd = fd;
    socket.info = *known;
    socket.unread = bytes_sent(fd);
    if (socket.info.state == kSocketListening) return;
    for (UnixPacket& content : peek_unix_queue(fd, socket.info.type, label)) {
      Packet packet;
      for (Fd& passed : content.rights) packet.rights.push_back(add_passed(std::move(passed), context, holder));
      content.rights.clear();
      packet.content = std::move(content);
      socket.packets.push_back(std::move(packet));
    }
  }

  // Whether an unaccepted connection of this socket has state beyond its client: sent data, or a client that is closed.
  bool has_unaccepted(const Inside& socket) const {
    return std::any_of(socket.info.waiting.begin(), socket.info.waiting.end(), [this](uint32_t client) {
      const auto found = inside_.find(client);
      return client == 0 || (found != inside_.end() && found->second.unread > 0);
    });
  }

  // Takes milliseconds the first time.
  static void read_unaccepted(Inside& socket, KernelView* kernel) {
    const UnacceptedReader* const reader = kernel != nullptr ? kernel->unaccepted() : nullptr;
    if (reader == nullptr) {
      socket.trouble = kernel != nullptr ? kernel->reason() : KernelView(false).reason();
      return;
    }
    UnacceptedQueue queue = reader->read(socket.info.inode);
    socket.trouble = queue.trouble;
    if (queue.connections.size() != socket.info.waiting.size()) return;
    if (queue.trouble.empty()) socket.unaccepted = std::move(queue.connections);
  }

  // Adds a description that was in flight in a queue; it may also be open in a task. Returns its id.
  uint32_t add_passed(Fd passed, FdContext& context, const OpenFile& holder) {
    const int fd = passed.get();
    OpenFile file;
    file.pid = holder.pid;
    file.tree_members = holder.tree_members;
    file.link = read_link(fmt::format("/proc/self/fd/{}", fd));
    if (::fstat(fd, &file.st) != 0) throw_errno(kUnixSocketsStep, holder.label());
    file.info = proc::parse_fdinfo(read_file(fmt::format("/proc/self/fdinfo/{}", fd)));
    file.info.flags &= ~static_cast<uint32_t>(O_CLOEXEC);
    file.own = std::move(passed);
    // Rounds send only the content of memfds that tasks have open.
    if (is_memfd(file.link, file.st) && file.st.st_size > 0 && !is_open(file, context)) {
      refuse(holder, fmt::format("a memfd ({}) is on its way through it and open nowhere else", file.link),
             "try again when the program has received it");
    }
    const bool is_new = matches(file) && !inside_.contains(inode_of(file)) && !is_open(file, context);
    const struct stat st = file.st;
    const std::string label = fmt::format("{}, on its way through {}", file.link, holder.label());
    const uint32_t id = context.add(std::move(file));
    if (is_new) add_inside(id, fd, st, label, context, holder);
    return id;
  }

  static bool is_open(const OpenFile& file, const FdContext& context) {
    return std::any_of(context.files.begin(), context.files.end(), [&](const OpenFile& other) {
      return other.st.st_ino == file.st.st_ino && other.st.st_dev == file.st.st_dev;
    });
  }

  uint32_t peer_of(const OpenFile& file, const Inside& socket, FdContext& context, img::crx_unix_socket& extra) {
    const UnixSocketInfo& info = socket.info;
    if (!info.peer || info.state == kSocketListening) return 0;
    if (inside_.contains(*info.peer)) return *info.peer;
    if (*info.peer == 0) {
      if (const auto acceptor = table_.acceptor_of(info.inode)) return acceptor_of(file, socket, *acceptor, extra);
      set_peer_name(file, extra);
      return 0;
    }
    if (!table_.may_reconnect(info, *info.peer, context.task.options)) {
      refuse(file, table_.outside_reason(info, *info.peer, holders_of(*info.peer, file, false)), kPeerRemedy);
    }
    add_external(*info.peer, context);
    return *info.peer;
  }

  // Returns the id of the listening socket that has not accepted this client yet.
  uint32_t acceptor_of(const OpenFile& file, const Inside& socket, uint32_t listener, img::crx_unix_socket& extra) {
    if (!inside_.contains(listener)) {
      refuse(file, table_.outside_reason(socket.info, listener, holders_of(listener, file, false)), kPeerRemedy);
    }
    // The other end exists, but no descriptor leads to it.
    if (socket.unread > 0 && !inside_.at(listener).unaccepted)
      refuse(file,
             unaccepted_reason("it has sent data over a connection that is not accepted yet", inside_.at(listener)),
             kWaitRemedy);
    const proc::Status status = proc::parse_status(read_file(fmt::format("/proc/{}/status", file.pid)));
    *extra.mutable_connector() = to_image({file.pid, status.uid.effective, status.gid.effective});
    return listener;
  }

  static void set_peer_name(const OpenFile& file, img::crx_unix_socket& extra) {
    sockaddr_un address{};
    socklen_t size = sizeof address;
    if (::getpeername(file.own.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return;
    constexpr std::size_t kHead = offsetof(sockaddr_un, sun_path);
    const bool named = size > kHead && size <= sizeof address;
    extra.set_peer_name(named ? std::string(address.sun_path, size - kHead) : std::string());
  }

  static std::vector<PipeHolder> holders_of(uint32_t inode, const OpenFile& inside, bool with_us) {
    return external_holders({inside.st.st_dev, inode}, fmt::format("socket:[{}]", inode), inside, with_us);
  }

  // Adds an end outside the tree that is found again by its name, as an entry of its own, as CRIU does.
  void add_external(uint32_t inode, FdContext& context) {
    if (!external_.insert(inode).second) return;
    const UnixSocketInfo& info = *table_.find(inode);
    img::file_entry entry;
    entry.set_type(img::UNIXSK);
    entry.set_id(context.task.files.next_id());
    img::unix_sk_entry& sk = *entry.mutable_usk();
    sk.set_id(entry.id());
    sk.set_ino(inode);
    sk.set_type(static_cast<uint32_t>(info.type));
    sk.set_state(static_cast<uint32_t>(info.state));
    sk.set_flags(O_RDWR);
    sk.set_uflags(kExternal);
    sk.set_backlog(0);
    sk.set_peer(0);
    sk.set_name(info.name);
    for (auto set : {&img::fown_entry::set_uid, &img::fown_entry::set_euid, &img::fown_entry::set_signum,
                     &img::fown_entry::set_pid_type, &img::fown_entry::set_pid}) {
      (sk.mutable_fown()->*set)(0);
    }
    img::sk_opts_entry& opts = *sk.mutable_opts();
    opts.set_so_sndbuf(0);
    opts.set_so_rcvbuf(0);
    opts.set_so_snd_tmo_sec(0);
    opts.set_so_snd_tmo_usec(0);
    opts.set_so_rcv_tmo_sec(0);
    opts.set_so_rcv_tmo_usec(0);
    context.task.files.add(std::move(entry));
  }

  static void collect_state(const OpenFile& file, img::crx_unix_socket& extra) {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (::getsockopt(file.own.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
      throw_errno(kUnixSocketsStep, file.label());
    if (credentials.pid != 0 || credentials.uid != UINT32_MAX) *extra.mutable_peer() = to_image(credentials);
    if (has_pending_error(file.own.get())) extra.set_reset(true);
    extra.set_mode(file.st.st_mode);
    extra.set_uid(file.st.st_uid);
    extra.set_gid(file.st.st_gid);
  }

  void collect_waiting(const OpenFile& file, const Inside& socket, FdContext&, img::crx_unix_socket& extra) {
    for (const uint32_t client : socket.info.waiting) {
      if (client == 0 && !socket.unaccepted)
        refuse(file, unaccepted_reason("a connection to it waits to be accepted whose client has gone", socket),
               kWaitRemedy);
      if (client != 0 && !inside_.contains(client)) {
        refuse(file, table_.outside_reason(socket.info, client, holders_of(client, file, false)),
               "end the other process, or try again");
      }
      extra.add_waiting(client);
    }
    if (!socket.unaccepted) return;
    for (std::size_t i = 0; i < socket.unaccepted->size(); ++i)
      add_unaccepted((*socket.unaccepted)[i], socket.info.waiting[i] == 0, extra);
  }

  static void add_unaccepted(const UnacceptedConnection& unaccepted_connection, bool client_closed,
                             img::crx_unix_socket& extra) {
    img::crx_unaccepted_connection& entry = *extra.add_unaccepted();
    if (unaccepted_connection.connector.pid != 0)
      *entry.mutable_connector() = to_image(unaccepted_connection.connector);
    if (client_closed && !unaccepted_connection.name.empty()) entry.set_name(unaccepted_connection.name);
    for (const UnacceptedConnection::Sent& sent : unaccepted_connection.sent) {
      img::crx_unix_sent& piece = *entry.add_sent();
      piece.set_content(sent.bytes);
      if (sent.sender.pid != 0) *piece.mutable_ucred() = to_image(sent.sender);
    }
  }

  void append_packets(const Inside& socket, ImageSink& images, img::crx_unix_socket& extra) {
    for (std::size_t i = 0; i < socket.packets.size(); ++i) {
      const Packet& packet = socket.packets[i];
      img::sk_packet_entry entry;
      entry.set_id_for(socket.id);
      entry.set_length(static_cast<uint32_t>(packet.content.bytes.size()));
      if (!packet.rights.empty()) {
        img::scm_entry& scm = *entry.add_scm();
        scm.set_type(SCM_RIGHTS);
        for (const uint32_t id : packet.rights) scm.add_rights(id);
      }
      images.append(image_file::kSkQueues, entry);
      images.append_raw(image_file::kSkQueues, std::as_bytes(std::span(packet.content.bytes)));
      const uint32_t sender = socket.info.type == SOCK_DGRAM ? sender_of(socket, packet.content) : 0;
      const bool named = socket.info.type == SOCK_DGRAM && !packet.content.source.empty();
      if (!named && sender == 0 && !packet.content.credentials) continue;
      img::crx_unix_packet& more = *extra.add_packets();
      more.set_index(static_cast<uint32_t>(i));
      if (named) more.set_source(packet.content.source);
      if (sender != 0) more.set_sender(sender);
      if (packet.content.credentials) *more.mutable_ucred() = to_image(*packet.content.credentials);
    }
  }

  // Returns the socket of the tree that sent a datagram: it has the source's name, or no name and the receiver as its
  // peer, and has unreceived bytes. 0 if there is none (any more).
  uint32_t sender_of(const Inside& receiver, const UnixPacket& packet) {
    for (auto& [inode, socket] : inside_) {
      if (socket.info.type != SOCK_DGRAM || socket.unread <= 0 || socket.info.name != packet.source) continue;
      if (packet.source.empty() && socket.info.peer != receiver.info.inode) continue;
      socket.unread -= static_cast<int>(packet.bytes.size()) + 1;
      return inode;
    }
    return 0;
  }

  UnixSocketTable table_;
  std::map<uint32_t, Inside> inside_;
  std::set<uint32_t> external_;
};

}  // namespace

FdKindPtr make_unix_sockets() {
  return std::make_unique<UnixSockets>();
}

}  // namespace crx
