#include "agent-src/freeze/interrupted_calls.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "agent-src/freeze/frozen_task.hpp"
#include "agent-src/tree/process_tree.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/restart_codes.hpp"
#include "common/kernel/process/time_namespace.hpp"
#include "common/proc/maps.hpp"

namespace crx {
namespace {

constexpr int64_t kInterrupted = -4;  // -EINTR
constexpr uint64_t kSyscallInstructionBytes = 2;
constexpr uint64_t kRedZone = 128;
constexpr int64_t kNsPerMs = 1'000'000;

std::string task_file(pid_t pid, pid_t tid, const char* name) {
  return fmt::format("/proc/{}/task/{}/{}", pid, tid, name);
}

// Empty if the thread has ended meanwhile.
std::string try_read(const std::string& path) {
  return try_read_file(path).value_or("");
}

// Parses /proc/TID/syscall: "230 0x0 0x0 0x7f64729d5ec0 0x0 0x0 0x7ffe0d71fd87 SP PC" for a sleeping thread, otherwise
// "running".
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

// Whether a signal will be delivered when the thread runs on; -EINTR is the right result then.
bool has_deliverable_signal(const proc::Status& status, const FrozenThread& thread) {
  return ((status.pending | status.shared_pending) & ~thread.sigmask) != 0;
}

bool write_memory(pid_t pid, uint64_t addr, const void* data, std::size_t bytes) {
  iovec local{const_cast<void*>(data), bytes};
  iovec remote{reinterpret_cast<void*>(addr), bytes};
  return ::process_vm_writev(pid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes);
}

// Whether the memory below sp is this thread's stack and nothing else: the main stack, or a mapping that ends in the
// thread's control block, as C libraries make them.
bool has_plain_stack(pid_t pid, const user_regs_struct& regs) {
  for (const proc::MapsEntry& map : proc::parse_maps(read_file(fmt::format("/proc/{}/maps", pid)))) {
    if (!map.contains(regs.rsp)) continue;
    if (!map.contains(regs.rsp - 4096)) return false;
    return map.kind == proc::MapKind::stack || (map.contains(regs.fs_base) && regs.fs_base > regs.rsp);
  }
  return false;
}

}  // namespace

InterruptedCalls::InterruptedCalls(KernelView& kernel) : kernel_(kernel), lead_ns_(time_offsets(0).monotonic_ns) {}

int64_t InterruptedCalls::now_ns() const {
  return clock_ns(CLOCK_MONOTONIC) - lead_ns_;
}

void InterruptedCalls::look_at(const std::vector<pid_t>& processes) {
  for (const pid_t pid : processes) {
    processes_.insert(pid);
    try {
      for (const pid_t tid : list_threads(pid)) look_at_thread(pid, tid);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::victim_gone) throw;
    }
  }
  list_timers();
}

void InterruptedCalls::look_at_leader(pid_t pid) {
  look_at_thread(pid, pid);
  list_timers();
}

void InterruptedCalls::look_at_thread(pid_t pid, pid_t tid) {
  Seen seen;
  if (!parse_syscall(try_read(task_file(pid, tid, "syscall")), seen.call, seen.sp)) return;
  SystemCall original = seen.call;
  if (seen.call.nr == SYS_restart_syscall) {
    original.nr = call_behind_restart(try_read(task_file(pid, tid, "wchan")), seen.call);
    seen.original_nr = original.nr;
  }
  if (limit_of(pid, original).kind != LimitKind::none) {
    has_limits_ = true;
    seen.wants_timer = !has_restart_block(original);
    const std::string status = try_read(task_file(pid, tid, "status"));
    seen.switches = status.empty() ? 0 : proc::parse_status(status).voluntary_switches;
  }
  seen_[tid] = seen;
}

// Runs after the threads' switch counts were read, so that a thread that has not slept anew since then sleeps on a
// timer that is listed here. Where the kernel can be read, its reader is opened here, before the stop.
void InterruptedCalls::list_timers() {
  if (has_limits_ && kernel_.sleeps() == nullptr) listed_.look();
  has_limits_ = false;
}

// The thread's timer is read as late as possible: between this point and the interruption lie microseconds. Only a
// thread that wakes in them, makes the same call again, and is interrupted before it sleeps there would be mistaken for
// one that has slept all the time.
void InterruptedCalls::look_once_more(pid_t tid) {
  const auto seen = seen_.find(tid);
  const SleepReader* const reader = kernel_.opened_sleeps();
  if (seen == seen_.end() || !seen->second.wants_timer || reader == nullptr) return;
  const std::optional<ThreadSleep> timer = reader->timer_of(tid);
  if (!timer) return;
  seen->second.switches = timer->switches;
  seen->second.due_ns = timer->due_ns;
}

void InterruptedCalls::rewind(FrozenTask& task) {
  std::vector<Interrupted> calls;
  bool sleeps = false;
  for (FrozenThread& thread : task.threads()) {
    const SystemCall call = call_of(thread.regs);
    const auto ax = static_cast<int64_t>(thread.regs.rax);
    sleeps = sleeps || (call.nr >= 0 && ax == kRestartBlock);
    if (call.nr < 0 || ax != kInterrupted || !may_be_made_again(call)) continue;
    const proc::Status status = proc::parse_status(read_file(task_file(task.pid(), thread.tid(), "status")));
    if (has_deliverable_signal(status, thread)) continue;
    calls.push_back({&thread, call, limit_of(task.pid(), call), is_same_sleep(thread, status)});
  }
  if (kernel_.opened_sleeps() == nullptr && (sleeps || !calls.empty())) listed_.compare();
  for (const Interrupted& it : calls) make_again(task, it, timer_due(it));
}

// Whether the thread has gone to sleep exactly once since it was seen: when we stopped it.
bool InterruptedCalls::is_same_sleep(const FrozenThread& thread, const proc::Status& status) const {
  const auto seen = seen_.find(thread.tid());
  return seen != seen_.end() && seen->second.call.nr == call_of(thread.regs).nr && seen->second.sp == thread.regs.rsp &&
         status.voluntary_switches == seen->second.switches + 1;
}

std::optional<int64_t> InterruptedCalls::timer_due(const Interrupted& it) const {
  if (it.limit.kind == LimitKind::none || !it.same_sleep) return std::nullopt;
  if (kernel_.opened_sleeps() == nullptr) return listed_.latest_until(now_ns() + it.limit.ns);
  return seen_.at(it.thread->tid()).due_ns;
}

void InterruptedCalls::make_again(FrozenTask& task, const Interrupted& it, std::optional<int64_t> due_ns) const {
  FrozenThread& thread = *it.thread;
  user_regs_struct& r = thread.regs;
  int64_t left_ns = it.limit.ns;
  if (due_ns) {
    left_ns = std::clamp<int64_t>(*due_ns - now_ns(), 0, it.limit.ns);
    unsigned long long* const arguments[] = {&r.rdi, &r.rsi, &r.rdx, &r.r10, &r.r8, &r.r9};
    if (it.limit.kind == LimitKind::register_ms) {
      *arguments[it.limit.argument] = static_cast<uint64_t>((left_ns + kNsPerMs - 1) / kNsPerMs);
    } else if (left_ns < it.limit.ns && has_plain_stack(task.pid(), r)) {
      const timespec left{left_ns / 1'000'000'000, left_ns % 1'000'000'000};
      const uint64_t at = (r.rsp - kRedZone - sizeof left) & ~uint64_t{15};
      if (write_memory(task.pid(), at, &left, sizeof left)) *arguments[it.limit.argument] = at;
    }
  }
  log::debug("thread {}: rewound system call {}, which will be made again {}", thread.tid(), it.call.nr,
             it.limit.kind == LimitKind::none
                 ? "without a time limit"
                 : fmt::format("with {} of {} ns left{}", left_ns, it.limit.ns, due_ns ? "" : " (at most)"));
  thread.again = it.call;
  r.rax = r.orig_rax;
  r.rip -= kSyscallInstructionBytes;
  r.orig_rax = kNoSyscall;
  thread.traced.set_regs(r);
}

// Returns the system call that the thread is in; if that is restart_syscall(2), the original one.
SystemCall InterruptedCalls::original_call(const FrozenThread& thread) const {
  SystemCall call = call_of(thread.regs);
  if (call.nr != SYS_restart_syscall) return call;
  const auto seen = seen_.find(thread.tid());
  const bool known = seen != seen_.end() && seen->second.original_nr >= 0 && seen->second.sp == thread.regs.rsp;
  call.nr = known ? seen->second.original_nr : call_behind_restart("", call);
  return call;
}

std::map<pid_t, RestartBlock> InterruptedCalls::blocks_of(pid_t pid, const std::vector<Interrupted>& all) const {
  if (kernel_.opened_sleeps() == nullptr || all.empty()) return {};
  return kernel_.opened_sleeps()->restart_blocks(pid);
}

void InterruptedCalls::find_sleeps(FrozenTask& task) const {
  std::vector<Interrupted> calls;
  for (FrozenThread& thread : task.threads()) {
    if (call_of(thread.regs).nr < 0 || static_cast<int64_t>(thread.regs.rax) != kRestartBlock) continue;
    const SystemCall call = original_call(thread);
    thread.sleep = InterruptedSleep{call, 0};
    const Limit limit = limit_of(task.pid(), call);
    if (limit.kind != LimitKind::none) calls.push_back({&thread, call, limit, false});
  }
  const std::map<pid_t, RestartBlock> blocks = blocks_of(task.pid(), calls);
  for (Interrupted& it : calls) {
    if (kernel_.opened_sleeps() == nullptr) {
      it.same_sleep =
          is_same_sleep(*it.thread, proc::parse_status(read_file(task_file(task.pid(), it.thread->tid(), "status"))));
    }
    const std::optional<int64_t> due_ns = kernel_.opened_sleeps() != nullptr ? block_due(it, blocks) : timer_due(it);
    const int64_t latest_ns = now_ns() + it.limit.ns;
    it.thread->sleep->due_ns = std::min(due_ns.value_or(latest_ns), latest_ns);
    if (!due_ns)
      log::debug("thread {}: its sleep of {} ns begins anew, since its end is unknown", it.thread->tid(), it.limit.ns);
  }
}

// The kernel does not say which kind of call the restart block belongs to, so the fields that it has in common with the
// registers must agree.
std::optional<int64_t> InterruptedCalls::block_due(const Interrupted& it,
                                                   const std::map<pid_t, RestartBlock>& blocks) const {
  const auto found = blocks.find(it.thread->tid());
  if (found == blocks.end()) return std::nullopt;
  const RestartBlock& block = found->second;
  const uint64_t first = it.call.args[0];
  switch (it.call.nr) {
    case SYS_poll:
      if (block.poll.addr == first && block.poll.has_limit) return block.poll.due_ns;
      break;
    case SYS_futex:
      if (block.futex.addr == first) return block.futex.due_ns;
      break;
    case SYS_clock_nanosleep:
      // Clocks of a process's own time cannot be carried, and the alarm clocks have other numbers in the block.
      if (first != CLOCK_REALTIME && first != CLOCK_MONOTONIC && first != CLOCK_BOOTTIME) break;
      [[fallthrough]];
    case SYS_nanosleep:
      if (block.sleep.remainder_addr != remainder_addr(it.call)) break;
      if (block.sleep.clock == CLOCK_MONOTONIC) return block.sleep.due_ns;
      if (block.sleep.clock == CLOCK_BOOTTIME) {
        return block.sleep.due_ns - (clock_ns(CLOCK_BOOTTIME) - time_offsets(0).boottime_ns) + now_ns();
      }
      break;
    default:
      break;
  }
  return std::nullopt;
}

}  // namespace crx
