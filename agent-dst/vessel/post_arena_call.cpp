// System calls by a task whose arena goes, or is gone.
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "agent-dst/vessel/vessel_state.hpp"
#include "common/base/error.hpp"
#include "common/remote/syscall_instruction.hpp"

namespace crx {
namespace {

constexpr uint64_t kRedZone = 256;  // below the stack pointer: may be in use (x86-64 ABI: 128 bytes)

}  // namespace

uint64_t lasting_syscall(const VesselState& state, pid_t pid) {
  if (state.vdso_syscall != 0) return state.vdso_syscall;
  const uint64_t code = state.arena.code_addr();
  std::vector<PageRange> arenas = *state.guest_arenas;
  arenas.push_back({code, code + state.arena.code_size()});
  return syscall_instruction(pid, arenas);
}

int64_t Vessel::post_arena_call(long nr, std::initializer_list<uint64_t> args, const void* object, std::size_t bytes) {
  VesselState& s = *state_;
  TracedThread& leader = s.threads.front();
  const user_regs_struct regs = leader.regs();
  const uint64_t blocked = leader.blocked_signals();
  const uint64_t at = (regs.rsp - kRedZone - bytes) & ~uint64_t{15};
  std::vector<std::byte> saved(bytes);
  const auto size = static_cast<ssize_t>(bytes);
  if (::pread(s.mem.get(), saved.data(), bytes, static_cast<off_t>(at)) != size ||
      ::pwrite(s.mem.get(), object, bytes, static_cast<off_t>(at)) != size) {
    throw_errno("making a late call", "the stack of task " + std::to_string(pid_));
  }
  std::vector<uint64_t> all(args);
  all.push_back(at);
  all.resize(6);
  leader.set_blocked_signals(~0ULL);
  const int64_t result =
      call_at(leader, lasting_syscall(s, pid_), nr, {all[0], all[1], all[2], all[3], all[4], all[5]});
  leader.set_blocked_signals(blocked);
  leader.set_regs(regs);
  if (::pwrite(s.mem.get(), saved.data(), bytes, static_cast<off_t>(at)) != size) {
    throw_errno("making a late call", "the stack of task " + std::to_string(pid_));
  }
  return result;
}

}  // namespace crx
