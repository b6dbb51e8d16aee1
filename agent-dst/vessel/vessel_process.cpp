#include "agent-dst/vessel/vessel_process.hpp"

#include <asm/ioctls.h>
#include <fmt/format.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>

#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/kernel/process/kcmp.hpp"

namespace crx {
namespace {

constexpr std::size_t kThreadsAtOnce = 512;

}  // namespace

uint64_t clone_flags_for(uint32_t shared) {
  uint64_t flags = 0;
  if ((shared & sharing::kMemory) != 0) flags |= CLONE_VM;
  if ((shared & sharing::kDescriptors) != 0) flags |= CLONE_FILES;
  if ((shared & sharing::kFilesystem) != 0) flags |= CLONE_FS;
  if ((shared & sharing::kSignalHandlers) != 0) flags |= CLONE_SIGHAND;
  return flags;
}

void VesselProcess::lead_session() {
  calls_.call("making a session", SYS_setsid);
}

void VesselProcess::control_terminal(int terminal) {
  const ArenaScope scratch(calls_.arena());
  RemoteBatch batch = calls_.batch(2);
  const std::size_t number = descriptors_.plan_borrow(batch, terminal);
  const std::size_t control = batch.add("taking the controlling terminal", SYS_ioctl, 0, TIOCSCTTY, 0);
  batch.store_result(number, batch.argument_addr(control, 0));
  calls_.run_checked(batch);
  calls_.call("closing the terminal", SYS_close, batch.result(number));
}

void VesselProcess::unshare(uint32_t shared) {
  calls_.call("leaving what was shared", SYS_unshare, clone_flags_for(shared));
  clone_flags_ &= ~shared;
  if ((shared & sharing::kDescriptors) != 0) descriptors_.unshare();
}

void VesselProcess::enter_group(pid_t pgid) {
  calls_.call("entering a process group", SYS_setpgid, 0, pgid);
}

void VesselProcess::adopt_orphans(bool adopt) {
  calls_.call("adopting orphans", SYS_prctl, PR_SET_CHILD_SUBREAPER, adopt ? 1 : 0, 0, 0, 0);
}

void VesselProcess::reap(pid_t child) {
  calls_.call("reaping a helper", SYS_wait4, child, 0, __WALL, 0);
}

void VesselProcess::forget_children() {
  const ArenaScope scratch(calls_.arena());
  const auto set = calls_.arena().put_object(uint64_t{1} << (SIGCHLD - 1));
  const auto now = calls_.arena().allocate<timespec>();
  // At most one SIGCHLD is pending: signals that are not real-time signals are queued only once.
  calls_.try_call("forgetting SIGCHLD", SYS_rt_sigtimedwait, set, 0, now.remote, sizeof(uint64_t));
}

void VesselProcess::create_threads(const std::vector<pid_t>& tids) {
  constexpr uint64_t kFlags =
      CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_PTRACE;
  if (tids.size() + calls_.thread_count() > VesselCalls::kMostThreads) {
    throw Error(ErrorCode::unsupported, "creating threads",
                fmt::format("{} threads are more than {}", tids.size(), VesselCalls::kMostThreads));
  }
  for (std::size_t done = 0; done < tids.size();) {
    const ArenaScope scratch(calls_.arena());
    const std::size_t count = std::min(tids.size() - done, kThreadsAtOnce);
    RemoteBatch batch = calls_.batch(count);
    for (std::size_t i = 0; i < count; ++i) {
      clone_args args{};
      args.flags = kFlags;
      args.set_tid = calls_.arena().put_object(tids[done + i]).addr();
      args.set_tid_size = 1;
      batch.add("creating a thread", SYS_clone3, calls_.arena().put_object(args), sizeof args);
    }
    calls_.thread(0).run(batch);
    for (std::size_t i = 0; i < count; ++i) {
      const pid_t tid = tids[done + i];
      if (batch.result(i) == -EEXIST) {
        throw Error(ErrorCode::refused, "creating threads", fmt::format("TID {} is taken", tid))
            .with_hint("end the task that has it, move to another host, or use --new-pids");
      }
      static_cast<void>(batch.checked(i));
      calls_.take_thread(TracedThread::adopt(tid, TracedThread::Kind::vessel, Deadline::in_ms(kVesselStopMs)));
    }
    done += count;
  }
  calls_.open();
}

}  // namespace crx
