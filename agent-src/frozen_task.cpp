#include "agent-src/frozen_task.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "agent-src/collect/restart.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/base/page.hpp"
#include "common/kernel/pagemap.hpp"
#include "common/proc/maps.hpp"
#include "common/proc/status.hpp"
#include "common/remote/healing_frame.hpp"
#include "common/remote/rseq_section.hpp"

namespace crx {

std::vector<pid_t> list_threads(pid_t pid) {
  const std::string path = fmt::format("/proc/{}/task", pid);
  std::vector<pid_t> tids;
  DIR* dir = ::opendir(path.c_str());
  if (dir == nullptr) throw_errno("listing threads", path, errno == ENOENT ? ESRCH : errno);
  while (const dirent* entry = ::readdir(dir)) {
    const int tid = std::atoi(entry->d_name);
    if (tid > 0) tids.push_back(tid);
  }
  ::closedir(dir);
  return tids;
}

bool has_seccomp(pid_t pid) { return proc::parse_status(read_file(fmt::format("/proc/{}/status", pid))).seccomp != 0; }

FrozenTask::FrozenTask(pid_t pid)
    : pid_(pid), proc_("/proc/" + std::to_string(pid) + "/"), pidfd_(open_pidfd(pid)) {}

FrozenTask::~FrozenTask() {
  if (threads_.empty()) return;
  try {
    thaw();
  } catch (const std::exception& error) {
    log::debug("giving back process {}: {}", pid_, error.what());
  }
}

FrozenTask FrozenTask::freeze(pid_t pid, Deadline deadline, bool suspend_seccomp) {
  FrozenTask task(pid);
  CallWatch calls(pid, list_threads(pid));
  task.seize_new_threads(deadline, suspend_seccomp);
  task.read_threads();
  calls.mend(task);
  calls.find_sleeps(task);
  task.was_stopped_ = task.leader().traced.in_group_stop();
  return task;
}

FrozenTask FrozenTask::freeze_leader(pid_t pid, Deadline deadline, bool suspend_seccomp) {
  FrozenTask task(pid);
  CallWatch calls(pid, {pid});
  if (!task.seize(pid, suspend_seccomp)) throw_gone(pid, "freezing");
  if (!task.await_stop(task.leader(), deadline)) throw_gone(pid, "freezing");
  task.read_threads();
  calls.mend(task);
  return task;
}

bool FrozenTask::seize(pid_t tid, bool suspend_seccomp) {
  if (stopped_since_us_ == 0) stopped_since_us_ = monotonic_us();
  auto traced = TracedThread::try_seize(tid, TracedThread::Kind::victim, suspend_seccomp);
  if (!traced) return false;
  try {
    traced->interrupt();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::victim_gone || tid == pid_) throw;
    return false;  // its destructor reaps it
  }
  threads_.push_back(FrozenThread{std::move(*traced), {}, 0, {}, nullptr, std::nullopt});
  return true;
}

// False: the thread ended on its own instead.
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

// A thread that we have not seized yet may create others: repeat until a listing holds nothing new. New threads of
// stopped ones cannot appear, so this ends.
void FrozenTask::seize_new_threads(Deadline deadline, bool suspend_seccomp) {
  for (bool found = true; found;) {
    found = false;
    const std::size_t first_new = threads_.size();
    for (const pid_t tid : list_threads(pid_)) {
      const bool known = std::any_of(threads_.begin(), threads_.end(), [&](const auto& t) { return t.tid() == tid; });
      if (!known && seize(tid, suspend_seccomp)) found = true;
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

// The leader must find its way back without us. Once for the stop: the frame says where it was, and stays true.
void FrozenTask::prepare_healing(const CallSite& site) {
  if (healing_addr_ != 0 || site.sigreturn_addr == 0) return;
  const FrozenThread& first = leader();
  const HealingFrame frame(first.traced, first.regs, first.sigmask, site.sigreturn_addr);
  const bool fits = site.main_stack.start <= frame.addr() && first.regs.rsp <= site.main_stack.end;
  iovec local{const_cast<std::byte*>(frame.bytes().data()), frame.bytes().size()};
  iovec remote{reinterpret_cast<void*>(frame.addr()), frame.bytes().size()};
  if (fits && ::process_vm_writev(pid_, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(local.iov_len)) {
    healing_addr_ = frame.addr();
  }
}

int64_t FrozenTask::call(const CallSite& site, long nr, std::initializer_list<uint64_t> args) {
  FrozenThread& first = leader();
  prepare_healing(site);
  const auto go_back = [&] {
    first.traced.set_blocked_signals(first.sigmask);
    first.traced.set_regs(first.regs);
  };
  try {
    const int64_t result = call_at(first.traced, site.syscall_addr, nr, args, healing_addr_);
    go_back();
    return result;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::victim_gone) go_back();
    throw;
  }
}

void FrozenTask::read_threads() {
  for (FrozenThread& thread : threads_) {
    thread.regs = thread.traced.regs();
    thread.sigmask = thread.traced.blocked_signals();
    thread.rseq = thread.traced.rseq();
    if (leave_rseq_section(pid_, thread.rseq, thread.regs)) thread.traced.set_regs(thread.regs);
  }
}

bool FrozenTask::is_arena(uint64_t start) const noexcept {
  return code_addr_ != 0 && (start == code_addr_ || start == data_addr_);
}

void FrozenTask::inject(const CallSite& site, std::size_t scratch) {
  if (arena_ != nullptr) return;
  site_ = site;
  const std::size_t code_bytes = RemoteArena::code_bytes(threads_.size());
  const std::size_t data_bytes = RemoteArena::data_bytes(threads_.size(), scratch + threads_.size() * 4096);
  const auto map = [&](std::size_t bytes, int prot) {
    const int64_t at =
        call(site, SYS_mmap, {0, bytes, static_cast<uint64_t>(prot), MAP_SHARED | MAP_ANONYMOUS, ~0ULL, 0});
    if (at < 0 && at >= -4095) {
      throw Error(ErrorCode::kernel, "mapping the arena", fmt::format("{} bytes", bytes), static_cast<int>(-at))
          .with_pid(pid_);
    }
    return static_cast<uint64_t>(at);
  };
  code_addr_ = map(code_bytes, PROT_READ | PROT_EXEC);
  data_addr_ = map(data_bytes, PROT_READ | PROT_WRITE);
  data_bytes_ = data_bytes;
  // Nobody has touched it: a page is there only if the kernel locks and populates what is mapped.
  const auto entries = Pagemap::open(pid_).entries({code_addr_, code_addr_ + kPageSize});
  locks_future_ = !entries.empty() && (entries.front() >> 63 & 1) != 0;
  const auto object = [&](uint64_t addr, std::size_t bytes) {
    return open_checked(fmt::format("{}map_files/{:x}-{:x}", proc_, addr, addr + bytes), O_RDWR);
  };
  arena_ = std::make_unique<RemoteArena>(object(code_addr_, code_bytes), object(data_addr_, data_bytes), data_bytes,
                                         code_addr_, data_addr_, threads_.size());
}

RemoteThread& FrozenTask::remote(std::size_t index) {
  FrozenThread& thread = threads_.at(index);
  if (thread.remote == nullptr) thread.remote = std::make_unique<RemoteThread>(thread.traced, *arena_, index);
  return *thread.remote;
}

uint64_t FrozenTask::program_break() {
  arena().reset();
  RemoteBatch batch(arena(), 1);
  const std::size_t brk = batch.add("asking for the program break", SYS_brk, 0);
  remote(0).run(batch);
  return static_cast<uint64_t>(batch.checked(brk));
}

void FrozenTask::settle() {
  for (FrozenThread& thread : threads_) {
    if (thread.remote != nullptr) thread.remote->interrupt();
  }
  for (FrozenThread& thread : threads_) {
    if (thread.remote != nullptr) thread.remote->await_stop();
  }
}

void FrozenTask::eject() {
  if (code_addr_ == 0) return;
  settle();
  for (FrozenThread& thread : threads_) {
    if (thread.remote != nullptr) thread.remote->leave();
    thread.remote.reset();
  }
  if (data_addr_ != 0) call(site_, SYS_munmap, {data_addr_, data_bytes_});
  call(site_, SYS_munmap, {code_addr_, RemoteArena::code_bytes(threads_.size())});
  arena_.reset();
  code_addr_ = data_addr_ = 0;
}

void FrozenTask::thaw() {
  eject();
  for (FrozenThread& thread : threads_) thread.traced.detach();
  threads_.clear();
}

}  // namespace crx
