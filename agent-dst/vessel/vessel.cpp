// Creates vessels: the root of a tree, and those that other vessels fork.
#include "agent-dst/vessel/vessel.hpp"

#include <fmt/format.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <initializer_list>
#include <iterator>
#include <utility>

#include "agent-dst/vessel/vessel_spawn.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/kernel/process/kcmp.hpp"
#include "common/proc/maps.hpp"

namespace crx {

struct Vessel::Parts {
  // For the root. arena: the future address of its arena.
  explicit Parts(uint64_t arena)
      : calls(arena, true), descriptors(calls), memory(calls, descriptors), process(calls, descriptors, memory, 0) {}
  // For a process that the vessel with the parts `from` forks.
  Parts(uint64_t arena, const Parts& from, uint32_t shared)
      : calls(arena, false),
        descriptors(calls, from.descriptors, (shared & sharing::kDescriptors) != 0),
        memory(calls, descriptors),
        process(calls, descriptors, memory, shared) {}

  VesselCalls calls;
  VesselDescriptors descriptors;
  VesselMemory memory;
  VesselProcess process;
};

namespace {

std::size_t arena_bytes() {
  return VesselCalls::code_bytes() + VesselCalls::data_bytes();
}

TracedThread seize(pid_t pid) {
  auto traced = TracedThread::try_seize(pid, TracedThread::Kind::vessel, false);
  if (!traced) throw_gone(pid, "seizing the vessel");
  return std::move(*traced);
}

// Adds the calls that remove everything that the process inherited from the engine, except the address space: at most
// five.
void plan_emptying(RemoteBatch& batch, const RseqConfiguration& rseq, int engine_pidfd) {
  if (rseq.rseq_abi_pointer != 0) {
    batch.add("leaving rseq", SYS_rseq, rseq.rseq_abi_pointer, rseq.rseq_abi_size, 1, rseq.signature);
  }
  batch.add("clearing the robust list", SYS_set_robust_list, 0, 24);
  batch.add("clearing the tid address", SYS_set_tid_address, 0);
  const auto stays = static_cast<unsigned>(engine_pidfd);
  batch.add("closing descriptors", SYS_close_range, 0, stays - 1, 0);
  batch.add("closing descriptors", SYS_close_range, stays + 1, ~0U, 0);
}

// Makes the leader of `from` fork. Returns the new process's leader, which is stopped. Throws Error(refused) where the
// PID is taken.
TracedThread clone_in(VesselCalls& from, pid_t pid, uint64_t flags, uint32_t exit_signal) {
  constexpr char kStep[] = "creating the processes";
  const ArenaScope scratch(from.arena());
  clone_args args{};
  args.flags = CLONE_PTRACE | flags;
  // With CLONE_PARENT the new process has the exit signal of the calling one, see clone(2).
  if ((flags & CLONE_PARENT) == 0) args.exit_signal = exit_signal;
  if (pid != 0) {
    args.set_tid = from.arena().put_object(pid).addr();
    args.set_tid_size = 1;
  }
  RemoteBatch batch = from.batch(1);
  batch.add("creating a child process", SYS_clone3, from.arena().put_object(args), sizeof args);
  from.thread(0).run(batch);
  if (batch.result(0) == -EEXIST) {
    throw Error(ErrorCode::refused, kStep, fmt::format("PID {} is taken", pid))
        .with_hint("end the process, group or session that has it, move to another host, or use --new-pids");
  }
  return TracedThread::adopt(static_cast<pid_t>(batch.checked(0)), TracedThread::Kind::vessel,
                             Deadline::in_ms(kVesselStopMs));
}

// Returns an address at which the address space of a process has room for one more arena.
uint64_t gap_for_arena(pid_t pid) {
  std::vector<Vma> taken;
  for (const proc::MapsEntry& map : proc::parse_maps(read_file(fmt::format("/proc/{}/maps", pid)))) {
    taken.emplace_back().start = map.start;
    taken.back().end = map.end;
  }
  return find_gap(taken, arena_bytes());
}

int64_t checked_call(TracedThread& thread, uint64_t syscall_addr, const char* what, long nr,
                     std::initializer_list<uint64_t> args) {
  const int64_t result = call_at(thread, syscall_addr, nr, args);
  if (result < 0 && result >= -4095)
    throw Error(ErrorCode::kernel, what, "in the new process", static_cast<int>(-result)).with_pid(thread.tid());
  return result;
}

// Makes a forked process, which still executes in the arena of the one that forked it, map an arena of its own. A
// process with memory of its own maps it over the old one: both contain the same code, so that it continues at the same
// instruction. at: the address of a system call instruction in the old arena.
void enter_own_arena(VesselCalls& calls, int engine_pidfd, uint64_t at) {
  TracedThread& leader = calls.traced(0);
  const auto map = [&](const Fd& object, uint64_t addr, std::size_t bytes, int prot) {
    const int64_t fd = checked_call(leader, at, "handing over an arena", SYS_pidfd_getfd,
                                    {static_cast<uint64_t>(engine_pidfd), static_cast<uint64_t>(object.get()), 0});
    checked_call(leader, at, "mapping an arena", SYS_mmap,
                 {addr, bytes, static_cast<uint64_t>(prot), MAP_SHARED | MAP_FIXED, static_cast<uint64_t>(fd), 0});
    checked_call(leader, at, "mapping an arena", SYS_close, {static_cast<uint64_t>(fd)});
  };
  const RemoteArena& arena = calls.arena();
  leader.set_blocked_signals(~0ULL);
  map(calls.code_object(), arena.code_addr(), arena.code_size(), PROT_READ | PROT_EXEC);
  map(calls.data_object(), arena.data_addr(), arena.data_size(), PROT_READ | PROT_WRITE);
}

}  // namespace

Vessel::Vessel(std::unique_ptr<Parts> parts) noexcept : parts_(std::move(parts)), calls_(&parts_->calls) {}
Vessel::Vessel(Vessel&& other) noexcept = default;
Vessel::~Vessel() = default;

VesselProcess& Vessel::process() noexcept {
  return parts_->process;
}
VesselMemory& Vessel::memory() noexcept {
  return parts_->memory;
}
VesselDescriptors& Vessel::descriptors() noexcept {
  return parts_->descriptors;
}

Vessel Vessel::create(const VesselPlan& plan) {
  Vessel vessel(std::make_unique<Parts>(find_gap({}, arena_bytes())));
  auto& [calls, descriptors, memory, process] = *vessel.parts_;
  SpawnPlan spawn;
  spawn.pid = plan.pid;
  spawn.sid = plan.sid;
  spawn.pgid = plan.pgid;
  spawn.cgroup_dir = plan.cgroup_dir;
  spawn.code_fd = calls.code_object().get();
  spawn.data_fd = calls.data_object().get();
  spawn.code_bytes = VesselCalls::code_bytes();
  spawn.data_bytes = VesselCalls::data_bytes();
  spawn.code_addr = calls.arena().code_addr();
  spawn.data_addr = calls.arena().data_addr();
  spawn_vessel(spawn);
  calls.take(seize(plan.pid));
  TracedThread& leader = calls.traced(0);
  leader.interrupt();
  if (!leader.wait_stopped(Deadline::in_ms(kVesselStopMs)))
    throw Error(ErrorCode::kernel, "seizing the vessel", "it does not stop").with_pid(plan.pid);
  const RseqConfiguration rseq = leader.rseq();
  calls.open();
  memory.open();
  {
    const ArenaScope scratch(calls.arena());
    RemoteBatch batch = calls.batch(8);
    plan_emptying(batch, rseq, descriptors.engine_pidfd());
    memory.plan_empty(batch);
    calls.run_checked(batch);
  }
  memory.expect_first_pages();
  return vessel;
}

// Forks a process that has an arena of its own and otherwise everything that `from` has.
Vessel Vessel::fork_process(Vessel& from, pid_t pid, uint32_t shared, Relation relation, uint32_t exit_signal) {
  const bool is_guest = (shared & sharing::kMemory) != 0;
  const RemoteArena& theirs = from.arena();
  TracedThread leader =
      clone_in(from.parts_->calls, pid,
               clone_flags_for(shared) | (relation == Relation::sibling ? uint64_t{CLONE_PARENT} : 0), exit_signal);
  const uint64_t arena = is_guest ? gap_for_arena(leader.tid()) : theirs.code_addr();
  Vessel vessel(std::make_unique<Parts>(arena, *from.parts_, shared));
  auto& [calls, descriptors, memory, process] = *vessel.parts_;
  calls.take(std::move(leader));
  if (is_guest) {
    memory.share(from.memory());
  } else {
    calls.arena().moved_to(theirs.code_addr(), theirs.data_addr());
  }
  memory.open();
  enter_own_arena(calls, descriptors.engine_pidfd(), theirs.syscall_addr());
  calls.open();
  return vessel;
}

Vessel Vessel::fork(Vessel& from, pid_t pid, uint32_t shared, Relation relation, uint32_t exit_signal) {
  Vessel vessel = fork_process(from, pid, shared, relation, exit_signal);
  if ((shared & sharing::kMemory) != 0) return vessel;
  vessel.memory().empty();
  vessel.memory().expect_first_pages();
  return vessel;
}

Vessel Vessel::fork_with_memory(Vessel& from, pid_t pid, Relation relation, uint32_t shared, uint32_t exit_signal) {
  from.memory().advise_for_fork(true);
  Vessel vessel = fork_process(from, pid, shared & ~sharing::kMemory, relation, exit_signal);
  from.memory().advise_for_fork(false);
  vessel.memory().inherit(from.memory());
  return vessel;
}

void close_arenas(const std::vector<Vessel*>& vessels) {
  std::vector<VesselProcess*> processes;
  std::transform(vessels.begin(), vessels.end(), std::back_inserter(processes),
                 [](Vessel* vessel) { return &vessel->process(); });
  VesselProcess::close_arenas(processes);
}

}  // namespace crx
