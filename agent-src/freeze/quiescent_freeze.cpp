#include "agent-src/freeze/quiescent_freeze.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <map>
#include <set>
#include <string_view>
#include <thread>

#include "agent-src/tree/open_file.hpp"
#include "common/base/clock.hpp"
#include "common/base/log.hpp"
#include "common/kernel/introspect/kernel_view.hpp"
#include "common/kernel/process/pidfd.hpp"
#include "common/kernel/sockets/tcp_diag.hpp"
#include "common/kernel/sockets/tcp_repair.hpp"
#include "common/kernel/sockets/unix_diag.hpp"

namespace crx {
namespace {

constexpr int kAttempts = 20;
constexpr int64_t kStepMs = 2;

struct Holding {
  const FrozenTask* task;
  int fd;
};

// Returns the sockets of the tree, keyed by inode.
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

// Whether the data in the queue of a listening unix socket can be read without a descriptor for its connections.
bool is_readable(uint32_t listener_inode, KernelView& kernel) {
  const UnacceptedReader* const reader = kernel.unaccepted();
  return reader != nullptr && reader->read(listener_inode).trouble.empty();
}

// Whether an unaccepted TCP connection cannot be moved. It has an end without a descriptor, which cannot be read, so
// the connection can be made anew only if its client moves along and has sent nothing.
bool is_stuck(const TcpSocketInfo& waiting, const std::vector<TcpSocketInfo>& all,
              const std::map<uint32_t, Holding>& sockets) {
  const uint32_t fin = tcp_state::got_fin(waiting.state) ? 1 : 0;
  if (waiting.received > fin) return true;
  return std::none_of(all.begin(), all.end(), [&](const TcpSocketInfo& other) {
    return other.local == waiting.peer && other.peer == waiting.local && sockets.contains(other.inode);
  });
}

bool has_unaccepted_tcp(const FrozenTree& tree) {
  const auto waits = [](const TcpSocketInfo& listener) { return listener.received > 0; };
  TcpDiag diag;
  auto listening = diag.list(1U << tcp_state::kListen);
  if (!listening || std::none_of(listening->begin(), listening->end(), waits)) return false;
  const std::map<uint32_t, Holding> sockets = sockets_of(tree);
  std::set<uint16_t> ports;
  for (const TcpSocketInfo& listener : *listening) {
    if (waits(listener) && sockets.contains(listener.inode)) ports.insert(listener.local.port);
  }
  if (ports.empty()) return false;
  const auto all = diag.list(~(1U << tcp_state::kListen));
  return all && std::any_of(all->begin(), all->end(), [&](const TcpSocketInfo& info) {
           return info.inode == 0 && tcp_state::is_connected(info.state) && ports.contains(info.local.port) &&
                  is_stuck(info, *all, sockets);
         });
}

bool has_unaccepted_data(const FrozenTree& tree, KernelView& kernel) {
  if (has_unaccepted_tcp(tree)) return true;
  std::map<uint32_t, Holding> sockets;
  for (const UnixSocketInfo& info : list_listening_unix_sockets()) {
    if (info.waiting.empty()) continue;
    if (sockets.empty()) sockets = sockets_of(tree);
    if (!sockets.contains(info.inode)) continue;
    for (const uint32_t client : info.waiting) {
      const auto found = sockets.find(client);
      const bool stuck = client == 0 || (found != sockets.end() && has_sent(found->second));
      if (stuck && !is_readable(info.inode, kernel)) return true;
      if (stuck) break;
    }
  }
  return false;
}

}  // namespace

FrozenTree freeze_quiescent(pid_t root, int64_t timeout_ms, KernelView& kernel) {
  for (int attempt = 1; attempt < kAttempts; ++attempt) {
    {
      FrozenTree tree = FrozenTree::freeze(root, Deadline::in_ms(timeout_ms), kernel);
      if (!has_unaccepted_data(tree, kernel)) return tree;
    }
    log::debug("a connection with unread data is not accepted yet: the program runs on for {} ms", attempt * kStepMs);
    std::this_thread::sleep_for(std::chrono::milliseconds(attempt * kStepMs));
  }
  return FrozenTree::freeze(root, Deadline::in_ms(timeout_ms), kernel);
}

}  // namespace crx
