#include "agent-src/settled_freeze.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <map>
#include <set>
#include <string_view>
#include <thread>

#include "agent-src/collect/net_rows.hpp"
#include "agent-src/collect/open_file.hpp"
#include "common/base/clock.hpp"
#include "common/base/log.hpp"
#include "common/kernel/pidfd.hpp"
#include "common/kernel/sock_diag.hpp"
#include "common/kernel/tcp_repair.hpp"

namespace crx {
namespace {

constexpr int kAttempts = 20;
constexpr int64_t kStepMs = 2;

struct Holding {
  const FrozenTask* task;
  int fd;
};

// Sockets of the tree by inode.
std::map<uint32_t, Holding> sockets_of(const FrozenTree& tree) {
  constexpr std::string_view kPrefix = "socket:[";
  std::map<uint32_t, Holding> sockets;
  for (const auto& task : tree.tasks()) {
    for (const int fd : list_numbers(task->pid())) {
      char link[64];
      const std::string path = fmt::format("/proc/{}/fd/{}", task->pid(), fd);
      const ssize_t size = ::readlink(path.c_str(), link, sizeof link);
      const std::string_view text(link, size < 0 ? 0 : static_cast<std::size_t>(size));
      uint32_t inode = 0;
      if (!text.starts_with(kPrefix)) continue;
      std::from_chars(text.data() + kPrefix.size(), text.data() + text.size(), inode);
      sockets.try_emplace(inode, Holding{task.get(), fd});
    }
  }
  return sockets;
}

bool has_sent(const Holding& client) {
  const Fd own = try_get_fd(client.task->pidfd(), client.fd);
  int unread = 0;
  return own && ::ioctl(own.get(), SIOCOUTQ, &unread) == 0 && unread > 0;
}

// A TCP connection that waits to be accepted has an end without a descriptor, which cannot be read: it can be made anew only
// where its client moves along and has sent nothing.
bool is_stuck(const NetRow& waiting, const std::vector<NetRow>& rows, const std::map<uint32_t, Holding>& sockets) {
  const uint64_t fin = tcp_state::got_fin(waiting.state) ? 1 : 0;
  if (waiting.received > fin) return true;
  return std::none_of(rows.begin(), rows.end(), [&](const NetRow& row) {
    return row.local == waiting.peer && row.peer == waiting.local && sockets.contains(static_cast<uint32_t>(row.inode));
  });
}

int option_of(int fd, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, name, &value, &length) == 0 ? value : 0;
}

// A listener tells itself how many wait (of MPTCP it does not), where a listing of all connections of the host takes
// milliseconds.
bool may_have_waiting(const Holding& socket) {
  const Fd own = try_get_fd(socket.task->pidfd(), socket.fd);
  if (!own || option_of(own.get(), SO_ACCEPTCONN) == 0 || option_of(own.get(), SO_DOMAIN) == AF_UNIX) return false;
  if (option_of(own.get(), SO_PROTOCOL) != IPPROTO_TCP) return true;
  struct ::tcp_info info{};
  socklen_t length = sizeof info;
  return ::getsockopt(own.get(), IPPROTO_TCP, TCP_INFO, &info, &length) != 0 || info.tcpi_unacked > 0;
}

bool has_unaccepted_tcp(const FrozenTree& tree) {
  const std::map<uint32_t, Holding> sockets = sockets_of(tree);
  if (std::none_of(sockets.begin(), sockets.end(), [](const auto& entry) { return may_have_waiting(entry.second); })) return false;
  std::vector<NetRow> rows;
  for (const char* name : {"tcp", "tcp6"}) {
    const std::vector<NetRow> some = read_net_rows(tree.tasks().front()->pid(), name);
    rows.insert(rows.end(), some.begin(), some.end());
  }
  // Of a listener, the kernel shows how many wait as what was received.
  const auto is_full = [](const NetRow& row) { return row.state == tcp_state::kListen && row.received > 0; };
  std::set<uint16_t> ports;
  for (const NetRow& row : rows) {
    if (is_full(row) && sockets.contains(static_cast<uint32_t>(row.inode))) ports.insert(row.local.port);
  }
  return std::any_of(rows.begin(), rows.end(), [&](const NetRow& row) {
    return row.inode == 0 && tcp_state::is_connected(row.state) && ports.contains(row.local.port) && is_stuck(row, rows, sockets);
  });
}

bool has_unaccepted_data(const FrozenTree& tree) {
  if (has_unaccepted_tcp(tree)) return true;
  std::map<uint32_t, Holding> sockets;
  for (const UnixSocketInfo& info : list_listening_unix_sockets()) {
    if (info.waiting.empty()) continue;
    if (sockets.empty()) sockets = sockets_of(tree);
    if (!sockets.contains(info.inode)) continue;
    for (const uint32_t client : info.waiting) {
      const auto found = sockets.find(client);
      if (client == 0 || (found != sockets.end() && has_sent(found->second))) return true;
    }
  }
  return false;
}

}  // namespace

FrozenTree freeze_settled(pid_t root, int64_t timeout_ms) {
  for (int attempt = 1; attempt < kAttempts; ++attempt) {
    {
      FrozenTree tree = FrozenTree::freeze(root, Deadline::in_ms(timeout_ms));
      if (!has_unaccepted_data(tree)) return tree;
    }
    log::debug("a connection with data in it waits to be accepted: the program runs on for {} ms", attempt * kStepMs);
    std::this_thread::sleep_for(std::chrono::milliseconds(attempt * kStepMs));
  }
  return FrozenTree::freeze(root, Deadline::in_ms(timeout_ms));
}

}  // namespace crx
