#include "agent-src/freeze/frozen_task.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "agent-src/freeze/interrupted_calls.hpp"
#include "agent-src/tree/process_tree.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/proc/status.hpp"
#include "common/remote/rseq_section.hpp"
#include "common/remote/wait_status.hpp"

namespace crx {
namespace {

constexpr int64_t kReapMs = 1'000;

}  // namespace

bool has_seccomp(pid_t pid) {
  return proc::parse_status(read_file(fmt::format("/proc/{}/status", pid))).seccomp != 0;
}

FrozenTask::FrozenTask(pid_t pid) : pid_(pid), proc_("/proc/" + std::to_string(pid) + "/"), pidfd_(open_pidfd(pid)) {}

FrozenTask::~FrozenTask() {
  if (threads_.empty()) return;
  try {
    thaw();
  } catch (const std::exception& error) {
    log::debug("cannot release process {} cleanly: {}", pid_, error.what());
  }
}

FrozenTask FrozenTask::freeze(pid_t pid, Deadline deadline, bool suspend_seccomp, InterruptedCalls& calls) {
  FrozenTask task(pid);
  if (!calls.has_seen(pid)) calls.look_at({pid});
  task.seize_new_threads(deadline, suspend_seccomp, calls);
  task.read_threads();
  calls.rewind(task);
  calls.find_sleeps(task);
  task.stop_signal_ = task.leader().traced.group_stop_signal();
  return task;
}

FrozenTask FrozenTask::freeze_leader(pid_t pid, Deadline deadline, bool suspend_seccomp, KernelView& kernel) {
  FrozenTask task(pid);
  InterruptedCalls calls(kernel);
  calls.look_at_leader(pid);
  if (!task.seize(pid, suspend_seccomp, calls)) throw_gone(pid, "freezing");
  if (!task.await_stop(task.leader(), deadline)) throw_gone(pid, "freezing");
  task.read_threads();
  calls.rewind(task);
  return task;
}

bool FrozenTask::seize(pid_t tid, bool suspend_seccomp, InterruptedCalls& calls) {
  if (stopped_since_us_ == 0) stopped_since_us_ = monotonic_us();
  auto traced = TracedThread::try_seize(tid, TracedThread::Kind::victim, suspend_seccomp);
  if (!traced) return false;
  try {
    calls.look_once_more(tid);
    traced->interrupt();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::victim_gone || tid == pid_) throw;
    return false;  // the destructor of `traced` reaps the thread
  }
  threads_.push_back(FrozenThread{std::move(*traced), {}, 0, {}, nullptr, std::nullopt, std::nullopt});
  return true;
}

// Returns false if the thread has ended instead.
bool FrozenTask::await_stop(FrozenThread& thread, Deadline deadline) const {
  const pid_t tid = thread.tid();
  try {
    if (thread.traced.wait_stopped(deadline)) return true;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::victim_gone || tid == pid_) throw;
    thread.traced.forget();
    return false;
  }
  const auto status = proc::parse_status(read_file(fmt::format("{}task/{}/status", proc_, thread.tid())));
  throw Error(ErrorCode::refused, "freezing",
              fmt::format("thread {} is in state {} and cannot be stopped", thread.tid(), status.state))
      .with_pid(pid_)
      .with_hint("it waits for a vfork child or a device; try again or raise --freeze-timeout");
}

// A thread that is not seized yet may create others, so repeat until a listing shows nothing new. Stopped threads
// create none, so this ends.
void FrozenTask::seize_new_threads(Deadline deadline, bool suspend_seccomp, InterruptedCalls& calls) {
  for (bool found = true; found;) {
    found = false;
    const std::size_t first_new = threads_.size();
    for (const pid_t tid : list_threads(pid_)) {
      const bool known = std::any_of(threads_.begin(), threads_.end(), [&](const auto& t) { return t.tid() == tid; });
      if (!known && seize(tid, suspend_seccomp, calls)) found = true;
    }
    for (std::size_t i = first_new; i < threads_.size();) {
      if (await_stop(threads_[i], deadline)) {
        ++i;
      } else {
        threads_.erase(threads_.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }
  }
  const auto leader = std::find_if(threads_.begin(), threads_.end(), [&](const auto& t) { return t.tid() == pid_; });
  if (leader == threads_.end()) throw_gone(pid_, "freezing");
  std::rotate(threads_.begin(), leader, leader + 1);
}

void FrozenTask::read_threads() {
  for (FrozenThread& thread : threads_) {
    thread.regs = thread.traced.regs();
    thread.sigmask = thread.traced.blocked_signals();
    thread.rseq = thread.traced.rseq();
    if (leave_rseq_section(pid_, thread.rseq, thread.regs)) thread.traced.set_regs(thread.regs);
  }
}

void FrozenTask::thaw() {
  try {
    eject();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::victim_gone) throw;
    log::debug("process {} was killed while it was stopped", pid_);
  }
  std::vector<FrozenThread*> killed;
  for (FrozenThread& thread : threads_) {
    try {
      thread.traced.detach();
    } catch (const Error& error) {
      if (error.code() != ErrorCode::victim_gone) throw;
      killed.push_back(&thread);
    }
  }
  // The parent of a process that is killed while it is traced sees its end only after the tracer, and the leader ends
  // last (ptrace(2), "Death under ptrace").
  for (auto thread = killed.rbegin(); thread != killed.rend(); ++thread) {
    if (!reap_killed((*thread)->tid(), Deadline::in_ms(kReapMs)))
      log::debug("thread {} was killed and does not end", (*thread)->tid());
    (*thread)->traced.forget();
  }
  threads_.clear();
}

}  // namespace crx
