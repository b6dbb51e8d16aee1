#include "agent-dst/vessel/vessel_spawn.hpp"

#include <fmt/format.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <optional>

#include "common/base/backoff.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/mapping.hpp"
#include "common/kernel/process/pid_holder.hpp"
#include "common/proc/proc_dir.hpp"
#include "common/proc/stat.hpp"

namespace crx {
namespace {

constexpr int kOrphanMs = 10'000;
constexpr int64_t kBirthMs = 5'000;

// The state of the child, in memory that it shares with the engine.
struct ChildArgs {
  std::atomic<int> ready{0};  // 1: waiting, -errno: failed
};

// Runs in the child, and so makes only raw system calls: nothing that takes a lock or allocates.
[[noreturn]] void wait_in_child(const SpawnPlan& plan, ChildArgs& child_args) {
  const auto map = [](uint64_t addr, std::size_t bytes, int prot, int fd) {
    return ::mmap(reinterpret_cast<void*>(addr), bytes, prot, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0) != MAP_FAILED;
  };
  bool fine = map(plan.code_addr, plan.code_bytes, PROT_READ | PROT_EXEC, plan.code_fd) &&
              map(plan.data_addr, plan.data_bytes, PROT_READ | PROT_WRITE, plan.data_fd);
  if (fine && plan.sid == plan.pid) fine = ::setsid() >= 0;
  if (fine && plan.sid != plan.pid && plan.pgid == plan.pid) fine = ::setpgid(0, 0) == 0;
  child_args.ready.store(fine ? 1 : -errno);
  // The tracer seizes and interrupts the child here, and the call never returns; without a tracer the child ends.
  ::poll(nullptr, 0, kOrphanMs);
  ::_exit(1);
}

// Describes, for an error, where a process waits that should have started by now.
std::string whereabouts(pid_t pid) {
  const std::optional<ProcDir> process = ProcDir::open(pid);
  const std::optional<proc::Stat> stat = process ? process->stat() : std::nullopt;
  if (!stat) return "it has ended";
  return fmt::format("it is in state {}, in {}", stat->state, process->read("wchan").value_or("an unknown function"));
}

}  // namespace

void spawn_vessel(const SpawnPlan& plan) {
  const Mapping shared = Mapping::map(4096, PROT_READ | PROT_WRITE, MAP_SHARED);
  auto& child_args = *new (shared.data()) ChildArgs;
  pid_t wanted = plan.pid;
  clone_args args{};
  args.flags = CLONE_PARENT;
  args.set_tid = reinterpret_cast<uint64_t>(&wanted);
  args.set_tid_size = 1;
  if (plan.cgroup_dir >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(plan.cgroup_dir);
  }
  const long got = ::syscall(SYS_clone3, &args, sizeof args);
  if (got == 0) wait_in_child(plan, child_args);
  if (got < 0 && errno == EEXIST) {
    const PidHolder holder = holder_of(plan.pid);
    throw Error(ErrorCode::refused, "creating the process", fmt::format("PID {} {}", plan.pid, holder.reason))
        .with_hint(holder.remedy + ", move to another host, or use --new-pids");
  }
  if (got < 0 && errno == EINVAL) {
    throw Error(ErrorCode::refused, "creating the process", fmt::format("PID {} is not possible here", plan.pid),
                EINVAL)
        .with_hint("raise kernel.pid_max at the destination");
  }
  if (got < 0) throw_errno("creating the process", fmt::format("PID {}", plan.pid));
  const Deadline deadline = Deadline::in_ms(kBirthMs);
  for (Backoff backoff; child_args.ready.load() == 0; backoff.wait()) {
    if (!deadline.passed()) continue;
    throw Error(ErrorCode::kernel, "creating the process",
                "the new process does not start: " + whereabouts(static_cast<pid_t>(got)));
  }
  if (child_args.ready.load() < 0) throw_errno("preparing the new process", "its arena", -child_args.ready.load());
}

}  // namespace crx
