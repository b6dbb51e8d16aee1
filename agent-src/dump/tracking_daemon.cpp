#include "agent-src/dump/tracking_daemon.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <vector>

#include "common/base/clock.hpp"
#include "common/base/directory.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/child_process.hpp"
#include "common/kernel/process/pidfd.hpp"
#include "common/proc/proc_dir.hpp"
#include "common/proc/stat.hpp"

namespace crx {
namespace {

constexpr char kTrackingDaemonStep[] = "keeping the tracking";
constexpr uint32_t kMagic = 0x4352584b;
constexpr std::size_t kIdBytes = 16;
constexpr int kDaemonAnswerMs = 2'000;

// The message format: one packet in each direction. The answer carries the userfaultfd.
struct Packet {
  uint32_t magic = kMagic;
  uint32_t drop = 0;
  int64_t pid = 0;
  uint64_t start_ticks = 0;
  uint64_t canary = 0;
  char set_id[kIdBytes] = {};
};

// Returns the name of the socket. It includes the PID namespace, since a PID is unique only there.
std::string socket_path(const std::string& run_dir, pid_t pid) {
  struct stat st {};
  if (::stat("/proc/self/ns/pid", &st) != 0) throw_errno(kTrackingDaemonStep, "/proc/self/ns/pid");
  return fmt::format("{}/tracking-{}-{}.sock", run_dir, st.st_ino, pid);
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    throw Error(ErrorCode::refused, kTrackingDaemonStep, path + " is too long for a socket");
  std::memcpy(address.sun_path, path.c_str(), path.size());
  return address;
}

uint64_t start_ticks_of(pid_t pid) {
  const std::optional<ProcDir> process = ProcDir::open(pid);
  const std::optional<proc::Stat> stat = process ? process->stat() : std::nullopt;
  return stat ? stat->starttime : 0;
}

Fd connect_to(const std::string& path) {
  Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) throw_errno(kTrackingDaemonStep, "socket");
  const sockaddr_un address = address_of(path);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return {};
  const timeval limit{kDaemonAnswerMs / 1000, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  return socket;
}

bool send_packet(int socket, const Packet& packet, int fd) {
  iovec data{const_cast<Packet*>(&packet), sizeof packet};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  return ::sendmsg(socket, &message, MSG_NOSIGNAL) == sizeof packet;
}

bool receive_packet(int socket, Packet& packet, Fd& fd) {
  iovec data{&packet, sizeof packet};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != sizeof packet || packet.magic != kMagic) return false;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return true;
  int received = -1;
  std::memcpy(&received, CMSG_DATA(header), sizeof received);
  fd.reset(received);
  return true;
}

// Answers requests until the process ends or a request to end arrives. Never returns.
[[noreturn]] void serve(int listener, int pidfd, int userfaultfd, const Packet& answer, const std::string& path) {
  for (;;) {
    pollfd waits[2] = {{listener, POLLIN, 0}, {pidfd, POLLIN, 0}};
    if (::poll(waits, 2, -1) < 0) continue;
    if (waits[1].revents != 0) break;
    const Fd client(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (!client) continue;
    const timeval limit{kDaemonAnswerMs / 1000, 0};
    ::setsockopt(client.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    Packet question;
    Fd unused;
    if (!receive_packet(client.get(), question, unused)) continue;
    if (question.drop != 0) {
      ::unlink(path.c_str());
      send_packet(client.get(), answer, -1);
      ::_exit(0);
    }
    send_packet(client.get(), answer, userfaultfd);
  }
  ::unlink(path.c_str());
  ::_exit(0);
}

// Keeps the three descriptors and closes all others: the process that started crx-dump waits for the end of its pipes.
void leave_all_but(int (&kept)[3]) {
  constexpr int kFirst = 10;
  int high[3];
  for (int i = 0; i < 3; ++i) high[i] = ::fcntl(kept[i], F_DUPFD_CLOEXEC, 100);
  for (int i = 0; i < 3; ++i) {
    ::dup3(high[i], kFirst + i, O_CLOEXEC);
    kept[i] = kFirst + i;
  }
  const int null = ::open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
  ::close_range(3, kFirst - 1, 0);
  ::close_range(kFirst + 3, ~0U, 0);
}

// Removes the sockets of daemons that were killed, on which nobody listens any more.
void remove_stale(const std::string& run_dir) {
  for (const std::string& name : list_directory(run_dir).value_or(std::vector<std::string>())) {
    if (!name.starts_with("tracking-") || !name.ends_with(".sock")) continue;
    const std::string path = run_dir + "/" + name;
    if (!connect_to(path) && errno == ECONNREFUSED) ::unlink(path.c_str());
  }
}

}  // namespace

std::optional<KeptTracking> TrackingDaemon::ask(const std::string& run_dir, pid_t pid) {
  const Fd socket = connect_to(socket_path(run_dir, pid));
  Packet answer;
  KeptTracking kept;
  if (!socket || !send_packet(socket.get(), Packet{}, -1) || !receive_packet(socket.get(), answer, kept.userfaultfd))
    return {};
  kept.pid = static_cast<pid_t>(answer.pid);
  kept.start_ticks = answer.start_ticks;
  kept.set_id.assign(answer.set_id, kIdBytes);
  kept.canary = answer.canary;
  if (!kept.userfaultfd || kept.pid != pid || kept.start_ticks != start_ticks_of(pid)) return {};
  return kept;
}

void TrackingDaemon::drop(const std::string& run_dir, pid_t pid) {
  const std::string path = socket_path(run_dir, pid);
  const Fd socket = connect_to(path);
  Packet packet;
  packet.drop = 1;
  Fd unused;
  if (socket && send_packet(socket.get(), packet, -1) && receive_packet(socket.get(), packet, unused)) return;
  ::unlink(path.c_str());
}

void TrackingDaemon::start(const std::string& run_dir, const KeptTracking& tracking) {
  if (::mkdir(run_dir.c_str(), 0700) != 0 && errno != EEXIST) throw_errno(kTrackingDaemonStep, run_dir);
  const std::string path = socket_path(run_dir, tracking.pid);
  drop(run_dir, tracking.pid);
  remove_stale(run_dir);
  const Fd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const sockaddr_un address = address_of(path);
  const mode_t mask = ::umask(0177);
  const bool bound =
      listener && ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::umask(mask);
  if (!bound || ::listen(listener.get(), 8) != 0) throw_errno(kTrackingDaemonStep, path);
  const Fd pidfd = open_pidfd(tracking.pid);
  Packet answer;
  answer.pid = tracking.pid;
  answer.start_ticks = tracking.start_ticks;
  answer.canary = tracking.canary;
  std::memcpy(answer.set_id, tracking.set_id.data(), std::min(kIdBytes, tracking.set_id.size()));
  ChildProcess daemon = ChildProcess::fork(kTrackingDaemonStep, [&]() -> int {
    ::setsid();
    ::prctl(PR_SET_NAME, "crx-tracking");
    ::prctl(PR_SET_PDEATHSIG, 0);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::signal(signal, signal == SIGTERM ? SIG_DFL : SIG_IGN);
    if (::chdir("/") != 0) return 1;
    int kept[3] = {listener.get(), pidfd.get(), tracking.userfaultfd.get()};
    leave_all_but(kept);
    serve(kept[0], kept[1], kept[2], answer, path);
  });
  // The daemon outlives crx-dump.
  static_cast<void>(daemon.release());
}

}  // namespace crx
