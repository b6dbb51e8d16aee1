#include "agent-src/recover/kept_original.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <vector>

#include "agent-src/recover/lock_recovery.hpp"
#include "agent-src/tool/systemd_unit.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/pidfd.hpp"
#include "common/kernel/sockets/tcp_repair.hpp"
#include "common/proc/proc_dir.hpp"

namespace crx {
namespace {

constexpr char kEndStep[] = "ending the original";
constexpr int64_t kEndMs = 10'000;

// Puts the TCP connections of a frozen process into repair mode, in which closing them sends nothing. Failures are
// logged: the process must end, since the tree runs at the destination.
void silence_connections(pid_t pid, int pidfd) try {
  const std::optional<ProcDir> process = ProcDir::open(pid);
  for (const int number : process ? process->descriptors().value_or(std::vector<int>()) : std::vector<int>()) {
    if (!process->descriptor(number).value_or("").starts_with("socket:[")) continue;
    const Fd socket = try_get_fd(pidfd, number);
    const std::optional<TcpInfo> info = socket ? try_tcp_info(socket.get()) : std::nullopt;
    if (info && tcp_state::is_connected(info->state)) enter_repair(socket.get(), "a TCP connection");
  }
} catch (const Error& error) {
  log::warn("pid {}: its connections do not end silently: {}", pid, error.what());
}

}  // namespace

std::optional<KeptOriginal> KeptOriginal::find(const SourceSession& description) {
  if (description.group.empty() || ::access(description.group.c_str(), F_OK) != 0) return std::nullopt;
  FreezerGroup group = FreezerGroup::open_existing(description.group, description.homes);
  if (group.members().empty()) {
    group.dissolve();
    return std::nullopt;
  }
  return KeptOriginal(std::move(group), description);
}

KeptOriginal::~KeptOriginal() {
  group_.abandon();
}

void KeptOriginal::end() && {
  if (description_.unit) stop_unit({description_.unit->name, description_.unit->user, 0, {}});
  std::vector<Fd> pidfds;
  for (const pid_t pid : group_.members()) {
    try {
      pidfds.push_back(open_pidfd(pid));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::victim_gone) throw;
      continue;
    }
    silence_connections(pid, pidfds.back().get());
  }
  for (const Fd& pidfd : pidfds) send_signal(pidfd.get(), SIGKILL);
  group_.thaw();
  const Deadline deadline = Deadline::in_ms(kEndMs);
  for (const Fd& pidfd : pidfds) {
    if (!wait_exit(pidfd.get(), deadline)) throw Error(ErrorCode::kernel, kEndStep, "a process does not end");
  }
  group_.dissolve();
  if (description_.unit) forget_failure({description_.unit->name, description_.unit->user, 0, {}});
}

void KeptOriginal::resume(const std::vector<HeldLock>& locks) && {
  if (!locks.empty()) take_locks_back(group_, description_.pid, locks);
  group_.dissolve();
}

}  // namespace crx
