#include "agent-src/collect/restart.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <string>

#include "agent-src/frozen_task.hpp"
#include "common/base/log.hpp"
#include "common/base/patience.hpp"
#include "common/kernel/kernel_sigaction.hpp"
#include "common/proc/maps.hpp"
#include "common/proc/status.hpp"

namespace crx {
namespace {

constexpr int64_t kInterrupted = -4;      // -EINTR
constexpr int64_t kRestartBlock = -516;   // -ERESTART_RESTARTBLOCK
constexpr uint64_t kNoSyscall = ~0ULL;
constexpr uint64_t kSyscallInstructionBytes = 2;
constexpr uint64_t kRedZone = 128;
constexpr int64_t kNsPerMs = 1'000'000;
constexpr int64_t kAsleepMs = 100;
constexpr int kReadingsAhead = 4;  // of the list of timers, where there is time for it
constexpr int kTellingsApart = 3;

std::string task_file(pid_t pid, pid_t tid, const char* name) { return fmt::format("/proc/{}/task/{}/{}", pid, tid, name); }

std::string try_read(const std::string& path) {
  const Fd file = try_open(path, O_RDONLY);
  if (!file) return {};
  try {
    return read_fd(file.get(), path);
  } catch (const std::exception&) {
    return {};  // it ended meanwhile
  }
}

// "230 0x0 0x0 0x7f64729d5ec0 0x0 0x0 0x7ffe0d71fd87 SP PC" of a thread that sleeps, "running" otherwise.
bool parse_syscall(const std::string& text, SystemCall& call, uint64_t& sp) {
  long long nr = -1;
  unsigned long long a[7] = {};
  if (std::sscanf(text.c_str(), "%lld %llx %llx %llx %llx %llx %llx %llx", &nr, &a[0], &a[1], &a[2], &a[3], &a[4],
                  &a[5], &a[6]) != 8) {
    return false;
  }
  call.nr = nr;
  std::copy(a, a + 6, call.args.begin());
  sp = a[6];
  return true;
}

uint64_t voluntary_switches(pid_t pid, pid_t tid) {
  const std::string text = try_read(task_file(pid, tid, "status"));
  return text.empty() ? 0 : proc::parse_status(text).voluntary_switches;
}

// A signal that will be delivered when the thread runs: then -EINTR is true.
bool has_deliverable_signal(pid_t pid, const FrozenThread& thread) {
  const auto status = proc::parse_status(read_file(task_file(pid, thread.tid(), "status")));
  return ((status.pending | status.shared_pending) & ~thread.sigmask) != 0;
}

// A thread that has begun a system call: until it sleeps in it, or is behind it.
void wait_asleep(pid_t pid, TracedThread& thread) {
  const std::string path = task_file(pid, thread.tid(), "syscall");
  const Deadline deadline = Deadline::in_ms(kAsleepMs);
  for (Patience patience; !thread.syscall_over() && try_read(path).starts_with("running"); patience.wait()) {
    if (deadline.passed()) return;
  }
}

bool write_memory(pid_t pid, uint64_t addr, const void* data, std::size_t bytes) {
  iovec local{const_cast<void*>(data), bytes};
  iovec remote{reinterpret_cast<void*>(addr), bytes};
  return ::process_vm_writev(pid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes);
}

// Whether what lies below sp is this thread's stack and nothing else: the main stack, or a mapping that ends in the
// thread's own control block, as the C libraries make them.
bool has_plain_stack(pid_t pid, const user_regs_struct& regs) {
  for (const proc::MapsEntry& map : proc::parse_maps(read_file(fmt::format("/proc/{}/maps", pid)))) {
    if (!map.contains(regs.rsp)) continue;
    if (!map.contains(regs.rsp - 4096)) return false;
    return map.kind == proc::MapKind::stack || (map.contains(regs.fs_base) && regs.fs_base > regs.rsp);
  }
  return false;
}

}  // namespace

CallWatch::CallWatch(pid_t pid, const std::vector<pid_t>& threads) {
  bool timed = false;
  for (const pid_t tid : threads) {
    Seen seen;
    if (!parse_syscall(try_read(task_file(pid, tid, "syscall")), seen.call, seen.sp)) continue;
    SystemCall original = seen.call;
    if (seen.call.nr == SYS_restart_syscall) {
      original.nr = call_behind_restart(try_read(task_file(pid, tid, "wchan")), seen.call);
      seen.original_nr = original.nr;
    }
    if (limit_of(pid, original).kind != LimitKind::none) {
      timed = true;
      seen.switches = voluntary_switches(pid, tid);
    }
    seen_[tid] = seen;
  }
  if (timed) before_ = read_sleep_timers(kReadingsAhead);
}

// What was armed before the stop and is no more, and would not have been due yet: stopped threads' timers, and maybe
// some of strangers.
void CallWatch::mend(FrozenTask& task) {
  now_ns_ = 0;
  for (FrozenThread& thread : task.threads()) {
    const SystemCall call = call_of(thread.regs);
    const auto ax = static_cast<int64_t>(thread.regs.rax);
    if (call.nr < 0 || (ax != kInterrupted && ax != kRestartBlock)) continue;
    if (now_ns_ == 0) {
      const SleepTimers after = read_sleep_timers();
      now_ns_ = after.now_ns;
      for (const SleepTimer& timer : before_.armed) {
        if (timer.due_ns > now_ns_ && !std::binary_search(after.armed.begin(), after.armed.end(), timer)) {
          stopped_.push_back(timer.due_ns);
        }
      }
      std::sort(stopped_.begin(), stopped_.end());
    }
    if (ax == kInterrupted && may_be_made_again(call) && !has_deliverable_signal(task.pid(), thread)) {
      make_again(task, thread, call);
    }
  }
}

// Since it was seen it has gone to sleep once: in our stop.
bool CallWatch::is_same_sleep(const FrozenTask& task, const FrozenThread& thread) const {
  const auto seen = seen_.find(thread.tid());
  return seen != seen_.end() && seen->second.call.nr == call_of(thread.regs).nr &&
         seen->second.sp == thread.regs.rsp &&
         voluntary_switches(task.pid(), thread.tid()) == seen->second.switches + 1;
}

std::vector<int64_t> CallWatch::candidates(int64_t latest_ns) const {
  const auto end = std::upper_bound(stopped_.begin(), stopped_.end(), latest_ns);
  return {stopped_.begin(), end};
}

void CallWatch::make_again(FrozenTask& task, FrozenThread& thread, const SystemCall& call) {
  user_regs_struct& r = thread.regs;
  const Limit limit = limit_of(task.pid(), call);
  int64_t left_ns = limit.ns;
  if (limit.kind != LimitKind::none && is_same_sleep(task, thread)) {
    // Where several timers fit, the latest: too late by a little is allowed, too early is not.
    const auto due = candidates(now_ns_ + limit.ns);
    if (!due.empty()) left_ns = std::min(limit.ns, due.back() - now_ns_);
    unsigned long long* const arguments[] = {&r.rdi, &r.rsi, &r.rdx, &r.r10, &r.r8, &r.r9};
    if (limit.kind == LimitKind::register_ms) {
      *arguments[limit.argument] = static_cast<uint64_t>((left_ns + kNsPerMs - 1) / kNsPerMs);
    } else if (left_ns < limit.ns && has_plain_stack(task.pid(), r)) {
      const timespec left{left_ns / 1'000'000'000, left_ns % 1'000'000'000};
      const uint64_t at = (r.rsp - kRedZone - sizeof left) & ~uint64_t{15};
      if (write_memory(task.pid(), at, &left, sizeof left)) *arguments[limit.argument] = at;
    }
  }
  log::debug("thread {}: call {} is made again, {}", thread.tid(), call.nr,
             limit.kind == LimitKind::none ? "without a limit" : fmt::format("{} of {} ns are left", left_ns, limit.ns));
  thread.again = call;
  r.rax = r.orig_rax;
  r.rip -= kSyscallInstructionBytes;
  r.orig_rax = kNoSyscall;
  thread.traced.set_regs(r);
}

void CallWatch::find_sleeps(FrozenTask& task) {
  std::vector<Sleeper> sleepers;
  for (FrozenThread& thread : task.threads()) {
    SystemCall call = call_of(thread.regs);
    if (call.nr < 0 || static_cast<int64_t>(thread.regs.rax) != kRestartBlock) continue;
    const auto seen = seen_.find(thread.tid());
    if (call.nr == SYS_restart_syscall) {
      const bool known = seen != seen_.end() && seen->second.original_nr >= 0 && seen->second.sp == thread.regs.rsp;
      call.nr = known ? seen->second.original_nr : call_behind_restart("", call);
    }
    const Limit limit = limit_of(task.pid(), call);
    thread.sleep = InterruptedSleep{call, 0};
    if (limit.kind == LimitKind::none || now_ns_ == 0) continue;
    const int64_t latest_ns = now_ns_ + limit.ns;
    thread.sleep->due_ns = latest_ns;
    sleepers.push_back({&thread, call, latest_ns, is_same_sleep(task, thread) ? candidates(latest_ns) : std::vector<int64_t>()});
  }
  for (int turn = 0; turn < kTellingsApart; ++turn) {
    std::vector<Sleeper*> unclear;
    for (Sleeper& sleeper : sleepers) {
      if (sleeper.thread->sleep && sleeper.candidates.size() != 1) unclear.push_back(&sleeper);
    }
    if (unclear.empty()) break;
    tell_apart(task, unclear);
  }
  for (const Sleeper& sleeper : sleepers) {
    if (!sleeper.thread->sleep) continue;
    if (sleeper.candidates.size() == 1) {
      sleeper.thread->sleep->due_ns = sleeper.candidates.front();
    } else {
      log::debug("thread {}: its sleep of {} ns begins anew; when it is due is not known", sleeper.thread->tid(),
                 sleeper.latest_ns - now_ns_);
    }
  }
}

// Each sleeper has a number; in round k those run on whose number has bit k, then those whose number has not, then
// the first again. A timer that is armed in just the rounds of one number is that sleeper's. The kernel restarts a
// sleep with the same due time, so rounds change nothing. Signals are not blocked meanwhile, since nobody would unblock
// them if we were killed: a thread that gets one has its handler's frame then, and sleeps no more.
void CallWatch::tell_apart(FrozenTask& task, std::vector<Sleeper*>& sleepers) {
  const unsigned bits = static_cast<unsigned>(std::bit_width(sleepers.size()));
  const unsigned rounds = 3 * bits;
  const auto runs_in = [&](std::size_t i, unsigned round) {
    return (((i + 1) >> (round % bits) & 1) != 0) != (round / bits == 1);
  };
  std::map<int64_t, uint64_t> armed_in;  // due -> rounds
  const SleepTimers idle = read_sleep_timers();
  std::map<int64_t, bool> strangers;
  for (const SleepTimer& timer : idle.armed) strangers[timer.due_ns] = true;
  std::vector<bool> over(sleepers.size());  // its time was up meanwhile, or a signal came
  const auto sleep_on = [&](std::size_t i) {
    TracedThread& traced = sleepers[i]->thread->traced;
    while (!over[i] && !traced.restart_syscall()) over[i] = static_cast<int64_t>(traced.regs().rax) != kRestartBlock;
  };
  for (unsigned round = 0; round < rounds; ++round) {
    const auto runs = [&](std::size_t i) { return !over[i] && runs_in(i, round); };
    for (std::size_t i = 0; i < sleepers.size(); ++i) {
      if (runs(i)) sleep_on(i);
    }
    for (std::size_t i = 0; i < sleepers.size(); ++i) {
      if (runs(i)) wait_asleep(task.pid(), sleepers[i]->thread->traced);
    }
    for (const SleepTimer& timer : read_sleep_timers().armed) {
      if (!strangers.contains(timer.due_ns)) armed_in[timer.due_ns] |= uint64_t{1} << round;
    }
    for (std::size_t i = 0; i < sleepers.size(); ++i) {
      if (runs(i) && !sleepers[i]->thread->traced.syscall_over()) sleepers[i]->thread->traced.interrupt();
    }
    for (std::size_t i = 0; i < sleepers.size(); ++i) {
      if (!runs(i)) continue;
      TracedThread& traced = sleepers[i]->thread->traced;
      for (Patience patience; !traced.syscall_over();) patience.wait();
      traced.settle();
      over[i] = static_cast<int64_t>(traced.regs().rax) != kRestartBlock;
    }
  }
  for (std::size_t i = 0; i < sleepers.size(); ++i) {
    FrozenThread& thread = *sleepers[i]->thread;
    thread.regs = thread.traced.regs();
    thread.sigmask = thread.traced.blocked_signals();
    if (over[i]) thread.sleep.reset();
    uint64_t wanted = 0;
    for (unsigned round = 0; round < rounds; ++round) wanted |= uint64_t{runs_in(i, round)} << round;
    std::vector<int64_t>& mine = sleepers[i]->candidates;
    mine.clear();
    for (const auto& [due_ns, pattern] : armed_in) {
      if (pattern == wanted && due_ns <= sleepers[i]->latest_ns) mine = {due_ns};  // the latest: not to end early
    }
  }
}

}  // namespace crx
