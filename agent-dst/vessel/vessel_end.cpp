// The end of a vessel: it becomes a zombie, or its arena is unmapped and it is released.
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>

#include "agent-dst/vessel/vessel_process.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/kernel/process/kernel_sigaction.hpp"
#include "common/kernel/process/pidfd.hpp"

namespace crx {
namespace {

constexpr uint64_t kRedZone = 256;  // bytes below the stack pointer that may be in use (x86-64 ABI: 128)

}  // namespace

// Ends the vessel in the way in which the original ended. To die of a signal, the vessel receives that signal while the
// signal's action is the default one and all other signals are blocked.
void VesselProcess::die(int status, const std::string& comm) {
  const bool killed = WIFSIGNALED(status);
  {
    RemoteArena& arena = calls_.arena();
    const ArenaScope scratch(arena);
    RemoteBatch batch = calls_.batch(3);
    batch.add("naming a process", SYS_prctl, PR_SET_NAME, arena.put_string(comm), 0, 0, 0);
    batch.add("setting the core file limit", SYS_prlimit64, 0, RLIMIT_CORE, arena.put_object(rlimit{}), 0);
    if (killed && WTERMSIG(status) != SIGKILL) {
      batch.add("setting a signal's action", SYS_rt_sigaction, WTERMSIG(status), arena.put_object(KernelSigaction{}), 0,
                sizeof(uint64_t));
    }
    calls_.run_checked(batch);
  }
  calls_.close();
  TracedThread& thread = calls_.traced(0);
  user_regs_struct regs = thread.regs();
  regs.rip = calls_.arena().syscall_addr();
  regs.orig_rax = ~0ULL;
  regs.rax = killed ? SYS_pause : SYS_exit_group;
  regs.rdi = static_cast<uint64_t>(WEXITSTATUS(status));
  thread.set_regs(regs);
  if (killed) {
    thread.set_blocked_signals(~(1ULL << (WTERMSIG(status) - 1)));
    send_signal(calls_.pidfd(), WTERMSIG(status));
  }
  thread.run_to_end();
  calls_.forget();
}

void VesselProcess::start_closing() {
  RemoteBatch batch = calls_.batch(1);
  if (!descriptors_.plan_close(batch)) return;
  closing_ = std::move(batch);
  calls_.thread(0).start(*closing_);
}

void VesselProcess::stop_calls() {
  if (closing_) {
    calls_.thread(0).finish(Deadline::in_ms(kVesselStopMs));
    closing_->check_all();
    closing_.reset();
  }
  calls_.interrupt();
}

// Adds the calls that unmap the arena: one call where it is one piece, otherwise one for the code and then one for the
// data.
void VesselProcess::leave_arena(std::vector<BorrowedCall>& first, std::vector<BorrowedCall>& second) {
  calls_.close();
  const uint64_t syscall_addr = memory_.lasting_syscall();
  TracedThread& leader = calls_.traced(0);
  leader.set_blocked_signals(~0ULL);
  const auto unmap = [&](std::vector<BorrowedCall>& calls, uint64_t addr, uint64_t bytes) {
    calls.push_back({&leader, syscall_addr, SYS_munmap, {addr, bytes}});
  };
  const RemoteArena& arena = calls_.arena();
  const uint64_t code = arena.code_addr(), code_bytes = arena.code_size();
  const bool in_one_piece = arena.data_addr() == code + code_bytes;
  unmap(first, code, in_one_piece ? code_bytes + arena.data_size() : code_bytes);
  if (!in_one_piece) unmap(second, arena.data_addr(), arena.data_size());
}

void VesselProcess::close_arenas(const std::vector<VesselProcess*>& processes) {
  for (VesselProcess* process : processes) process->start_closing();
  for (VesselProcess* process : processes) process->stop_calls();
  std::vector<BorrowedCall> first, second;
  for (VesselProcess* process : processes) process->leave_arena(first, second);
  make_calls(first);
  make_calls(second);
}

int64_t VesselProcess::post_arena_call(long nr, std::initializer_list<uint64_t> args, const void* object,
                                       std::size_t bytes) {
  TracedThread& leader = calls_.traced(0);
  const user_regs_struct regs = leader.regs();
  const uint64_t blocked = leader.blocked_signals();
  const uint64_t at = (regs.rsp - kRedZone - bytes) & ~uint64_t{15};
  std::vector<std::byte> saved(bytes);
  memory_.read(at, saved);
  memory_.write(at, {static_cast<const std::byte*>(object), bytes});
  std::array<uint64_t, 6> all{};
  if (args.size() >= all.size()) throw Error(ErrorCode::bug, "making a call after the arena", "too many arguments");
  *std::copy(args.begin(), args.end(), all.begin()) = at;
  leader.set_blocked_signals(~0ULL);
  const int64_t result =
      call_at(leader, memory_.lasting_syscall(), nr, {all[0], all[1], all[2], all[3], all[4], all[5]});
  leader.set_blocked_signals(blocked);
  leader.set_regs(regs);
  memory_.write(at, saved);
  return result;
}

void VesselProcess::release() {
  calls_.unleash();
  calls_.release();
}

}  // namespace crx
