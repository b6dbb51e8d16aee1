#include "agent-dst/vessel/vessel.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "agent-dst/vessel/vessel_state.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/pidfd.hpp"
#include "common/remote/wait_status.hpp"

namespace crx {
namespace {

constexpr uint64_t kUserEnd = 0x7ffffffff000;
constexpr int64_t kStopMs = 10'000;

// The first descriptors of a task have a table of this size in its files_struct.
constexpr int kEnginePidfdNumber = 63;

void move_engine_pidfd(VesselState& state, RemoteBatch& batch, int number) {
  batch.add("moving the door", SYS_dup3, state.table->door_number, number, O_CLOEXEC);
  batch.add("moving the door", SYS_close, state.table->door_number);
  state.table->door_number = number;
}

// A descriptor of ourselves. At a low number: tables grow to the highest, are copied with each fork, and never shrink.
Fd make_engine_pidfd() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  const Fd self = open_pidfd(::getpid());
  Fd engine_pidfd(::fcntl(self.get(), F_DUPFD_CLOEXEC, kEnginePidfdNumber));
  if (!engine_pidfd) {
    throw Error(ErrorCode::kernel, "opening the door", "a descriptor number", errno)
        .with_hint("raise the limit of open files (ulimit -n)");
  }
  return engine_pidfd;
}

// The first batch: everything the process inherited from us goes.
void empty_process(VesselState& state) {
  const RseqConfiguration rseq = state.threads.front().rseq();
  const auto engine_pidfd = static_cast<unsigned>(state.engine_pidfd.get());
  RemoteBatch batch(state.arena, 16);
  if (rseq.rseq_abi_pointer != 0) {
    batch.add("leaving rseq", SYS_rseq, rseq.rseq_abi_pointer, rseq.rseq_abi_size, 1, rseq.signature);
  }
  batch.add("clearing the robust list", SYS_set_robust_list, 0, 24);
  batch.add("clearing the tid address", SYS_set_tid_address, 0);
  batch.add("closing descriptors", SYS_close_range, 0, engine_pidfd - 1, 0);
  batch.add("closing descriptors", SYS_close_range, engine_pidfd + 1, ~0U, 0);
  const uint64_t code_end = state.arena.code_addr() + state.arena.code_size();
  const uint64_t data_end = state.arena.data_addr() + state.arena.data_size();
  batch.add("emptying the address space", SYS_munmap, 0, state.arena.code_addr());
  if (code_end < state.arena.data_addr()) {
    batch.add("emptying the address space", SYS_munmap, code_end, state.arena.data_addr() - code_end);
  }
  batch.add("emptying the address space", SYS_munmap, data_end, kUserEnd - data_end);
  state.run_checked(batch);
  state.arena.reset();
}

}  // namespace

Fd arena_object(const char* name, std::size_t bytes) {
  int fd = ::memfd_create(name, MFD_CLOEXEC | 0x10u /* MFD_EXEC, Linux 6.3 */);
  if (fd < 0) fd = ::memfd_create(name, MFD_CLOEXEC);
  if (fd < 0) throw_errno("making the arena", "memfd");
  Fd object(fd);
  if (::ftruncate(object.get(), static_cast<off_t>(bytes)) < 0) throw_errno("making the arena", "memfd");
  return object;
}

void make_placer(VesselState& state, int pidfd) {
  RemoteBatch make(state.arena, 1);
  const std::size_t made = make.add_optional("making a userfaultfd", SYS_userfaultfd, PagePlacer::create_flags());
  state.remotes.front()->run(make);
  if (make.result(made) < 0) return;
  const int fd = static_cast<int>(make.result(made));
  state.placer = PagePlacer::adopt(try_get_fd(pidfd, fd));
  RemoteBatch close(state.arena, 1);
  close.add("closing the userfaultfd", SYS_close, fd);
  state.run_checked(close);
  state.arena.reset();
}

VesselState::VesselState(Fd door_fd, int number, Fd code, Fd data, uint64_t arena_addr, bool populate)
    : engine_pidfd(std::move(door_fd)),
      code_object(std::move(code)),
      data_object(std::move(data)),
      table(std::make_shared<NumberTable>()),
      guest_arenas(std::make_shared<std::vector<PageRange>>()),
      arena(code_object, data_object, RemoteArena::data_bytes(kVesselSlots, kVesselScratch), arena_addr,
            arena_addr + RemoteArena::code_bytes(kVesselSlots), kVesselSlots, populate) {
  table->door_number = number;
}

void VesselState::run_checked(RemoteBatch& batch) {
  if (batch.size() == 0) return;
  remotes.front()->run(batch);
  batch.check_all();
}

Vessel::Vessel(std::unique_ptr<VesselState> state) : state_(std::move(state)) {}
Vessel::Vessel(Vessel&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)), pidfd_(std::move(other.pidfd_)), state_(std::move(other.state_)) {}

Vessel::~Vessel() {
  if (pid_ == 0) return;
  try {
    send_signal(pidfd_.get(), SIGKILL);
    // We are its tracer: reap our part, so that its parent sees it end. The leader last: the kernel reports its end
    // only when all other threads have been reaped.
    for (auto thread = state_->threads.rbegin(); thread != state_->threads.rend(); ++thread) {
      if (thread->tid() == 0) continue;
      static_cast<void>(reap_killed(thread->tid(), Deadline::never()));
      thread->forget();
    }
  } catch (const std::exception& error) {
    log::debug("removing vessel {}: {}", pid_, error.what());
  }
}

Vessel Vessel::create(const VesselPlan& plan) {
  const std::size_t code_bytes = RemoteArena::code_bytes(kVesselSlots);
  const std::size_t data_bytes = RemoteArena::data_bytes(kVesselSlots, kVesselScratch);
  const uint64_t at = find_gap({}, code_bytes + data_bytes);
  Fd engine_pidfd = make_engine_pidfd();
  const int door_number = engine_pidfd.get();
  auto state = std::make_unique<VesselState>(std::move(engine_pidfd), door_number, arena_object("crx-code", code_bytes),
                                             arena_object("crx-data", data_bytes), at, true);
  BirthPlan birth;
  birth.pid = plan.pid;
  birth.sid = plan.sid;
  birth.pgid = plan.pgid;
  birth.cgroup_dir = plan.cgroup_dir;
  birth.code_fd = state->code_object.get();
  birth.data_fd = state->data_object.get();
  birth.code_bytes = code_bytes;
  birth.data_bytes = data_bytes;
  birth.code_addr = state->arena.code_addr();
  birth.data_addr = state->arena.data_addr();
  give_birth(birth);
  auto traced = TracedThread::try_seize(plan.pid, TracedThread::Kind::vessel, false);
  if (!traced) throw_gone(plan.pid, "seizing the vessel");
  Vessel vessel(std::move(state));
  vessel.pid_ = plan.pid;
  vessel.pidfd_ = open_pidfd(plan.pid);
  traced->interrupt();
  if (!traced->wait_stopped(Deadline::in_ms(kStopMs))) {
    throw Error(ErrorCode::kernel, "seizing the vessel", "it does not stop").with_pid(plan.pid);
  }
  VesselState& s = *vessel.state_;
  s.threads.push_back(std::move(*traced));
  s.remotes.push_back(std::make_unique<RemoteThread>(s.threads.front(), s.arena, 0, false));
  s.mem = open_checked(fmt::format("/proc/{}/mem", plan.pid), O_RDWR);
  empty_process(s);
  make_placer(s, vessel.pidfd_.get());
  return vessel;
}

uint32_t Vessel::clone_flags() const noexcept {
  return state_->clone_flags;
}
const img::mm_entry& Vessel::layout() const noexcept {
  return state_->mm;
}
RemoteArena& Vessel::arena() noexcept {
  return state_->arena;
}
RemoteThread& Vessel::thread(std::size_t index) {
  return *state_->remotes.at(index);
}
std::size_t Vessel::thread_count() const noexcept {
  return state_->threads.size();
}
TracedThread& Vessel::traced(std::size_t index) {
  return state_->threads.at(index);
}
void Vessel::run_checked(RemoteBatch& batch) {
  state_->run_checked(batch);
}

std::size_t Vessel::plan_borrow(RemoteBatch& batch, int fd) {
  return batch.add("handing over a descriptor", SYS_pidfd_getfd, state_->table->door_number, fd, 0);
}

void Vessel::plan_way(RemoteBatch& batch, int highest) {
  VesselState& s = *state_;
  if (highest < s.table->door_number) return;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) throw_errno("moving the door", "RLIMIT_NOFILE");
  const auto last = static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 1 << 20)) - 1;
  move_engine_pidfd(s, batch, std::min(highest + 1, last));
}

void Vessel::plan_inject(RemoteBatch& batch, int fd, int target, bool cloexec) {
  VesselState& s = *state_;
  if (target == s.table->door_number) {  // the task needs our place: stand aside
    int aside = target;
    do {
      --aside;
    } while (s.table->taken.contains(aside));
    move_engine_pidfd(s, batch, aside);
  }
  // pidfd_getfd takes the lowest free number; we know which one that is, since we filled the table.
  const int lowest = s.table->lowest_free();
  const std::size_t got = plan_borrow(batch, fd);
  if (lowest == target) {
    batch.add("setting close-on-exec", SYS_fcntl, target, F_SETFD, cloexec ? FD_CLOEXEC : 0);
  } else {
    const std::size_t dup = batch.add("placing a descriptor", SYS_dup3, 0, target, cloexec ? O_CLOEXEC : 0);
    batch.store_result(got, batch.argument_addr(dup, 0));
    batch.add("placing a descriptor", SYS_close, lowest);
  }
  s.table->taken.insert(target);
}

void Vessel::create_threads(const std::vector<pid_t>& tids) {
  VesselState& s = *state_;
  if (tids.size() + s.threads.size() > kVesselSlots) {
    throw Error(ErrorCode::unsupported, "creating threads",
                fmt::format("{} threads are more than {}", tids.size(), kVesselSlots));
  }
  for (std::size_t done = 0; done < tids.size();) {
    s.arena.reset();
    const std::size_t count = std::min<std::size_t>(tids.size() - done, 512);
    RemoteBatch batch(s.arena, count);
    for (std::size_t i = 0; i < count; ++i) {
      const auto args = s.arena.allocate<clone_args>();
      const auto tid = s.arena.allocate<pid_t>();
      *tid.local = tids[done + i];
      args.local->flags =
          CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_PTRACE;
      args.local->set_tid = tid.remote.addr();
      args.local->set_tid_size = 1;
      batch.add("creating a thread", SYS_clone3, args.remote, sizeof(clone_args));
    }
    s.remotes.front()->run(batch);
    for (std::size_t i = 0; i < count; ++i) {
      if (batch.result(i) == -EEXIST) {
        throw Error(ErrorCode::refused, "creating threads", fmt::format("TID {} is taken", tids[done + i]))
            .with_hint("end the task that has it, move to another host, or use --new-pids");
      }
      static_cast<void>(batch.checked(i));
      s.threads.push_back(TracedThread::adopt(tids[done + i], TracedThread::Kind::vessel, Deadline::in_ms(kStopMs)));
    }
    done += count;
  }
  for (std::size_t i = s.remotes.size(); i < s.threads.size(); ++i) {
    s.remotes.push_back(std::make_unique<RemoteThread>(s.threads[i], s.arena, i, false));
  }
  s.arena.reset();
}

void Vessel::set_mm_fields(int exe_fd) {
  VesselState& s = *state_;
  const img::mm_entry& mm = s.mm;
  RemoteBatch batch(s.arena, 3);
  const auto auxv = s.arena.allocate<uint64_t>(static_cast<std::size_t>(mm.mm_saved_auxv_size()) + 1);
  std::copy(mm.mm_saved_auxv().begin(), mm.mm_saved_auxv().end(), auxv.local);
  prctl_mm_map map{};
  map.start_code = mm.mm_start_code();
  map.end_code = mm.mm_end_code();
  map.start_data = mm.mm_start_data();
  map.end_data = mm.mm_end_data();
  map.start_brk = mm.mm_start_brk();
  map.brk = mm.mm_brk();
  map.start_stack = mm.mm_start_stack();
  map.arg_start = mm.mm_arg_start();
  map.arg_end = mm.mm_arg_end();
  map.env_start = mm.mm_env_start();
  map.env_end = mm.mm_env_end();
  map.auxv = reinterpret_cast<__u64*>(auxv.remote.addr());
  map.auxv_size = static_cast<__u32>(mm.mm_saved_auxv_size()) * 8;
  map.exe_fd = ~0U;
  const auto piece = s.arena.allocate<prctl_mm_map>();
  *piece.local = map;
  const std::size_t fd = plan_borrow(batch, exe_fd);
  batch.store_result(fd, piece.remote.member(offsetof(prctl_mm_map, exe_fd)));
  // The 64-bit store of the number runs over the end of the structure into its padding: exe_fd is its last word.
  static_assert(offsetof(prctl_mm_map, exe_fd) + 4 == sizeof(prctl_mm_map));
  batch.add("setting the memory fields", SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, piece.remote, sizeof(prctl_mm_map), 0);
  const int lowest = s.table->lowest_free();
  batch.add("closing the executable", SYS_close, lowest);
  s.run_checked(batch);
  s.arena.reset();
}

void Vessel::start_closing() {
  VesselState& s = *state_;
  if (!std::exchange(s.table->door_open, false)) return;
  s.closing.emplace(s.arena, 1);
  s.closing->add("closing the door", SYS_close, s.table->door_number);
  s.remotes.front()->start(*s.closing);
}

void Vessel::stop_calls() {
  VesselState& s = *state_;
  if (s.closing) {
    s.remotes.front()->finish(Deadline::in_ms(kStopMs));
    s.closing->check_all();
    s.closing.reset();
  }
  if (std::exchange(s.calls_stopped, true)) return;
  for (auto& remote : s.remotes) remote->interrupt();
}

void Vessel::close_arenas(const std::vector<Vessel*>& vessels) {
  for (Vessel* vessel : vessels) vessel->start_closing();
  for (Vessel* vessel : vessels) vessel->stop_calls();
  std::vector<BorrowedCall> first, second;
  for (Vessel* vessel : vessels) {
    VesselState& s = *vessel->state_;
    for (auto& remote : s.remotes) remote->await_stop();
    for (auto& remote : s.remotes) remote->leave();
    s.remotes.clear();
    const uint64_t syscall_addr = lasting_syscall(s, vessel->pid_);
    s.threads.front().set_blocked_signals(~0ULL);
    const auto unmap = [&](std::vector<BorrowedCall>& calls, uint64_t addr, uint64_t bytes) {
      calls.push_back({&s.threads.front(), syscall_addr, SYS_munmap, {addr, bytes}});
    };
    const uint64_t code = s.arena.code_addr(), code_bytes = s.arena.code_size();
    const bool in_one_piece = s.arena.data_addr() == code + code_bytes;
    unmap(first, code, in_one_piece ? code_bytes + s.arena.data_size() : code_bytes);
    if (!in_one_piece) unmap(second, s.arena.data_addr(), s.arena.data_size());
  }
  make_calls(first);
  make_calls(second);
}

void Vessel::unleash() {
  for (TracedThread& thread : state_->threads) thread.set_options(TracedThread::Kind::victim, false);
}

void Vessel::release() {
  unleash();
  for (TracedThread& thread : state_->threads) thread.detach();
  state_->threads.clear();
  pid_ = 0;
}

}  // namespace crx
