// Vessels that are children of vessels: forked, placed, and ended as zombies.
#include <asm/ioctls.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "agent-dst/vessel/vessel_state.hpp"
#include "common/base/error.hpp"
#include "common/kernel/process/kcmp.hpp"
#include "common/kernel/process/kernel_sigaction.hpp"
#include "common/kernel/process/pidfd.hpp"
#include "common/proc/maps.hpp"

namespace crx {
namespace {

constexpr int64_t kStopMs = 10'000;
constexpr uint64_t kUserEnd = 0x7ffffffff000;

int64_t checked_call(TracedThread& thread, uint64_t syscall_addr, const char* what, long nr,
                     std::initializer_list<uint64_t> args) {
  const int64_t result = call_at(thread, syscall_addr, nr, args);
  if (result < 0 && result >= -4095)
    throw Error(ErrorCode::kernel, what, "in the new process", static_cast<int>(-result)).with_pid(thread.tid());
  return result;
}

// The new process stands in its parent's arena: maps one of its own, over that where the memory is its own. The code is
// the same, instruction by instruction, so that it does not notice. at: a system call in the parent's arena.
void enter_own_arena(TracedThread& thread, VesselState& state, uint64_t at) {
  const auto map = [&](const Fd& object, uint64_t addr, std::size_t bytes, int prot) {
    const int64_t fd =
        checked_call(thread, at, "handing over an arena", SYS_pidfd_getfd,
                     {static_cast<uint64_t>(state.table->door_number), static_cast<uint64_t>(object.get()), 0});
    checked_call(thread, at, "mapping an arena", SYS_mmap,
                 {addr, bytes, static_cast<uint64_t>(prot), MAP_SHARED | MAP_FIXED, static_cast<uint64_t>(fd), 0});
    checked_call(thread, at, "mapping an arena", SYS_close, {static_cast<uint64_t>(fd)});
  };
  map(state.code_object, state.arena.code_addr(), state.arena.code_size(), PROT_READ | PROT_EXEC);
  map(state.data_object, state.arena.data_addr(), state.arena.data_size(), PROT_READ | PROT_WRITE);
}

uint64_t clone3_flags(uint32_t shared) {
  uint64_t flags = 0;
  if ((shared & sharing::kMemory) != 0) flags |= CLONE_VM;
  if ((shared & sharing::kDescriptors) != 0) flags |= CLONE_FILES;
  if ((shared & sharing::kFilesystem) != 0) flags |= CLONE_FS;
  if ((shared & sharing::kSignalHandlers) != 0) flags |= CLONE_SIGHAND;
  return flags;
}

// Where the address space of a process has room for one more arena.
uint64_t room_for_guest(pid_t pid, std::size_t bytes) {
  std::vector<Vma> taken;
  for (const proc::MapsEntry& map : proc::parse_maps(read_file(fmt::format("/proc/{}/maps", pid)))) {
    taken.emplace_back().start = map.start;
    taken.back().end = map.end;
  }
  return find_gap(taken, bytes);
}

void unmap_inherited(VesselState& state) {
  RemoteBatch batch(state.arena, 2);
  const uint64_t end = state.arena.data_addr() + state.arena.data_size();
  batch.add("emptying the address space", SYS_munmap, 0, state.arena.code_addr());
  batch.add("emptying the address space", SYS_munmap, end, kUserEnd - end);
  state.run_checked(batch);
  state.arena.reset();
}

// Memory that the program does not want to be inherited is, in a vessel, when `inherit` holds; otherwise as it was.
void advise_for_fork(VesselState& state, bool inherit) {
  constexpr int kWipeOnFork = 18, kKeepOnFork = 19;  // Linux 4.14
  const auto advised = [](const Vma& vma, int advice) { return (vma.madvise >> advice & 1) != 0; };
  for (std::size_t at = 0; at < state.vmas.size();) {
    state.arena.reset();
    RemoteBatch batch(state.arena, 512);
    for (; at < state.vmas.size() && batch.size() < 500; ++at) {
      const Vma& vma = state.vmas[at];
      const uint64_t bytes = vma.end - vma.start;
      if (vma.is_droppable()) continue;
      if (advised(vma, MADV_DONTFORK)) {
        batch.add("advising memory", SYS_madvise, vma.start, bytes, inherit ? MADV_DOFORK : MADV_DONTFORK);
      }
      if (advised(vma, kWipeOnFork)) {
        batch.add("advising memory", SYS_madvise, vma.start, bytes, inherit ? kKeepOnFork : kWipeOnFork);
      }
    }
    state.run_checked(batch);
  }
  state.arena.reset();
}

}  // namespace

void Vessel::clear() {
  VesselState& s = *state_;
  s.placer.reset();
  unmap_inherited(s);
  s.mm.Clear();
  s.vmas.clear();
  s.guards.clear();
  s.vdso_syscall = 0;
}

// A process with an arena of its own and everything else as `from_vessel` has it.
Vessel Vessel::fork_process(Vessel& from_vessel, pid_t pid, uint32_t shared, uint32_t exit_signal,
                            uint64_t more_flags) {
  const uint64_t flags = more_flags | clone3_flags(shared);
  const bool is_guest = (flags & CLONE_VM) != 0;
  VesselState& from = *from_vessel.state_;
  from.arena.reset();
  RemoteBatch batch(from.arena, 1);
  const auto args = from.arena.allocate<clone_args>();
  const auto wanted = from.arena.allocate<pid_t>();
  *wanted.local = pid;
  args.local->flags = CLONE_PTRACE | flags;
  // A sibling has the signal that its parent has chosen for the other one, see clone(2).
  if ((flags & CLONE_PARENT) == 0) args.local->exit_signal = exit_signal;
  if (pid != 0) {
    args.local->set_tid = wanted.remote.addr();
    args.local->set_tid_size = 1;
  }
  batch.add("creating a child process", SYS_clone3, args.remote, sizeof(clone_args));
  from.remotes.front()->run(batch);
  if (batch.result(0) == -EEXIST) {
    throw Error(ErrorCode::refused, "creating the processes", fmt::format("PID {} is taken", pid))
        .with_hint("end the process, group or session that has it, move to another host, or use --new-pids");
  }
  pid = static_cast<pid_t>(batch.checked(0));
  TracedThread traced = TracedThread::adopt(pid, TracedThread::Kind::vessel, Deadline::in_ms(kStopMs));
  const std::size_t code_bytes = RemoteArena::code_bytes(kVesselSlots);
  const std::size_t data_bytes = RemoteArena::data_bytes(kVesselSlots, kVesselScratch);
  const uint64_t at = is_guest ? room_for_guest(pid, code_bytes + data_bytes) : from.arena.code_addr();
  Vessel vessel(std::make_unique<VesselState>(Fd(), from.table->door_number, arena_object("crx-code", code_bytes),
                                              arena_object("crx-data", data_bytes), at, false));
  vessel.pid_ = pid;
  vessel.pidfd_ = open_pidfd(pid);
  VesselState& s = *vessel.state_;
  s.threads.push_back(std::move(traced));
  s.clone_flags = shared;
  if (is_guest) {
    s.guest_arenas = from.guest_arenas;
    s.guest_arenas->push_back({at, at + code_bytes + data_bytes});
    s.vdso_syscall = from.vdso_syscall;
  } else {
    s.arena.moved_to(from.arena.code_addr(), from.arena.data_addr());
  }
  s.mem = open_checked(fmt::format("/proc/{}/mem", pid), O_RDWR);
  s.table = (flags & CLONE_FILES) != 0 ? from.table : std::make_shared<NumberTable>(*from.table);
  s.threads.front().set_blocked_signals(~0ULL);
  enter_own_arena(s.threads.front(), s, from.arena.syscall_addr());
  s.remotes.push_back(std::make_unique<RemoteThread>(s.threads.front(), s.arena, 0, false));
  return vessel;
}

Vessel Vessel::fork(Vessel& from, pid_t pid, uint32_t shared, Relation relation, uint32_t exit_signal) {
  Vessel vessel = fork_process(from, pid, shared, exit_signal, relation == Relation::sibling ? CLONE_PARENT : 0);
  if ((shared & sharing::kMemory) != 0) return vessel;
  unmap_inherited(*vessel.state_);
  make_placer(*vessel.state_, vessel.pidfd_.get());
  return vessel;
}

Vessel Vessel::fork_with_memory(Vessel& from, pid_t pid, Relation relation, uint32_t shared, uint32_t exit_signal) {
  VesselState& source = *from.state_;
  advise_for_fork(source, true);
  Vessel vessel = fork_process(from, pid, shared & ~sharing::kMemory, exit_signal,
                               relation == Relation::sibling ? CLONE_PARENT : 0);
  advise_for_fork(source, false);
  VesselState& s = *vessel.state_;
  s.mm = source.mm;
  s.vmas = source.vmas;
  s.guards = source.guards;
  s.vdso_syscall = source.vdso_syscall;
  advise_for_fork(s, false);
  RemoteBatch batch(s.arena, source.guest_arenas->size() + 1);
  for (const PageRange& guest : *source.guest_arenas)
    batch.add("leaving a guest's arena", SYS_munmap, guest.start, guest.bytes());
  s.run_checked(batch);
  s.arena.reset();
  return vessel;
}

void Vessel::leave(uint32_t shared) {
  VesselState& s = *state_;
  s.arena.reset();
  RemoteBatch batch(s.arena, 1);
  batch.add("leaving what was shared", SYS_unshare, clone3_flags(shared));
  run_checked(batch);
  s.clone_flags &= ~shared;
  if ((shared & sharing::kDescriptors) != 0) s.table = std::make_shared<NumberTable>(*s.table);
}

void Vessel::lead_session() {
  state_->arena.reset();
  RemoteBatch batch(state_->arena, 1);
  batch.add("making a session", SYS_setsid);
  run_checked(batch);
}

void Vessel::control_terminal(int terminal) {
  state_->arena.reset();
  RemoteBatch batch(state_->arena, 2);
  const std::size_t number = plan_borrow(batch, terminal);
  const std::size_t control = batch.add("taking the controlling terminal", SYS_ioctl, 0, TIOCSCTTY, 0);
  batch.store_result(number, batch.argument_addr(control, 0));
  run_checked(batch);
  RemoteBatch last(state_->arena, 1);
  last.add("closing the terminal", SYS_close, batch.result(number));
  run_checked(last);
}

Fd Vessel::open_as(const std::string& path, int flags) {
  state_->arena.reset();
  RemoteBatch batch(state_->arena, 1);
  const std::size_t number =
      batch.add("opening a file", SYS_openat, AT_FDCWD, state_->arena.put_string(path), flags | O_CLOEXEC);
  run_checked(batch);
  Fd fd = try_get_fd(pidfd_.get(), static_cast<int>(batch.result(number)));
  if (!fd) throw_errno("opening a file", path);
  RemoteBatch last(state_->arena, 1);
  last.add("closing a file", SYS_close, batch.result(number));
  run_checked(last);
  return fd;
}

void Vessel::enter_group(pid_t pgid) {
  state_->arena.reset();
  RemoteBatch batch(state_->arena, 1);
  batch.add("entering a process group", SYS_setpgid, 0, pgid);
  run_checked(batch);
}

void Vessel::adopt_orphans(bool adopt) {
  state_->arena.reset();
  RemoteBatch batch(state_->arena, 1);
  batch.add("adopting orphans", SYS_prctl, PR_SET_CHILD_SUBREAPER, adopt ? 1 : 0, 0, 0, 0);
  run_checked(batch);
}

// Dies of what it died of: the signal is sent where it reaches a process that has nothing left but the default for it.
void Vessel::die(int status, const std::string& comm) {
  VesselState& s = *state_;
  s.arena.reset();
  RemoteBatch batch(s.arena, 4);
  batch.add("naming a process", SYS_prctl, PR_SET_NAME, s.arena.put_string(comm), 0, 0, 0);
  const auto none = s.arena.allocate<rlimit>();
  batch.add("setting the core file limit", SYS_prlimit64, 0, RLIMIT_CORE, none.remote, 0);
  const bool killed = WIFSIGNALED(status);
  const KernelSigaction plain{};
  if (killed && WTERMSIG(status) != SIGKILL) {
    batch.add("setting a signal's action", SYS_rt_sigaction, WTERMSIG(status), s.arena.put_object(plain), 0,
              sizeof(uint64_t));
  }
  run_checked(batch);
  s.remotes.front()->leave();
  s.remotes.clear();
  TracedThread& thread = s.threads.front();
  user_regs_struct regs = thread.regs();
  regs.rip = s.arena.syscall_addr();
  regs.orig_rax = ~0ULL;
  regs.rax = killed ? SYS_pause : SYS_exit_group;
  regs.rdi = static_cast<uint64_t>(WEXITSTATUS(status));
  thread.set_regs(regs);
  if (killed) {
    thread.set_blocked_signals(~(1ULL << (WTERMSIG(status) - 1)));
    send_signal(pidfd_.get(), WTERMSIG(status));
  }
  thread.run_to_end();
  pid_ = 0;
}

void Vessel::reap(pid_t child) {
  state_->arena.reset();
  RemoteBatch batch(state_->arena, 1);
  batch.add("reaping a helper", SYS_wait4, child, 0, __WALL, 0);
  run_checked(batch);
}

void Vessel::forget_children() {
  VesselState& s = *state_;
  s.arena.reset();
  RemoteBatch batch(s.arena, 4);
  const auto set = s.arena.put_object(uint64_t{1} << (SIGCHLD - 1));
  const auto now = s.arena.allocate<timespec>();
  // One, or none: it is no real-time signal, and is queued once.
  batch.add_optional("forgetting SIGCHLD", SYS_rt_sigtimedwait, set, 0, now.remote, 8);
  run_checked(batch);
}

}  // namespace crx
