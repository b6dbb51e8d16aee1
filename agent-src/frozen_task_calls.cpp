// FrozenTask as a maker of system calls: borrowed ones of its leader, and the arena.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <algorithm>
#include <iterator>

#include "agent-src/frozen_task.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/base/page.hpp"
#include "common/kernel/pagemap.hpp"
#include "common/remote/healing_frame.hpp"

namespace crx {
namespace {

constexpr std::size_t kScratchBytes = 192 * 1024;
constexpr std::size_t kScratchOfThread = 4096;

bool is_error(int64_t result) { return result < 0 && result >= -4095; }

}  // namespace

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

void FrozenTask::go_back() {
  leader().traced.set_blocked_signals(leader().sigmask);
  leader().traced.set_regs(leader().regs);
}

std::vector<int64_t> FrozenTask::call_together(const std::vector<PlannedCall>& planned) {
  std::vector<BorrowedCall> calls;
  for (const PlannedCall& call : planned) {
    call.task->prepare_healing(call.task->site_);
    calls.push_back({&call.task->leader().traced, call.task->site_.syscall_addr, call.nr, call.args, call.task->healing_addr_, 0});
  }
  try {
    make_calls(calls);
  } catch (const Error&) {
    for (const PlannedCall& call : planned) {
      try {
        call.task->go_back();
      } catch (const Error& error) {
        log::debug("process {}: {}", call.task->pid(), error.what());  // it has ended
      }
    }
    throw;
  }
  std::vector<int64_t> results;
  for (const BorrowedCall& call : calls) results.push_back(call.result);
  for (const PlannedCall& call : planned) call.task->go_back();
  return results;
}

int64_t FrozenTask::call(const CallSite& site, long nr, std::initializer_list<uint64_t> args) {
  site_ = site;
  PlannedCall planned{this, nr, {}};
  std::copy(args.begin(), args.end(), planned.args.begin());
  return call_together({planned}).front();
}

bool FrozenTask::is_arena(uint64_t start) const noexcept {
  return code_addr_ != 0 && (start == code_addr_ || start == data_addr_);
}

std::size_t FrozenTask::code_bytes() const { return RemoteArena::code_bytes(threads_.size()); }

std::size_t FrozenTask::arena_bytes() const {
  return code_bytes() + RemoteArena::data_bytes(threads_.size(), kScratchBytes + threads_.size() * kScratchOfThread);
}

void FrozenTask::inject(const CallSite& site) { inject_all({this}, {site}); }

// The second mapping lies over the end of the first, so that one call takes away both.
void FrozenTask::inject_all(const std::vector<FrozenTask*>& tasks, const std::vector<CallSite>& sites) {
  std::vector<FrozenTask*> wanted;
  std::vector<PlannedCall> calls;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    FrozenTask& task = *tasks[i];
    if (task.arena_ != nullptr) continue;
    task.site_ = sites.at(i);
    wanted.push_back(&task);
    calls.push_back({&task, SYS_mmap, {0, task.arena_bytes(), PROT_READ | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, ~0ULL, 0}});
  }
  const auto check = [](const FrozenTask& task, int64_t result) {
    if (!is_error(result)) return;
    throw Error(ErrorCode::kernel, "mapping the arena", fmt::format("{} bytes", task.arena_bytes()), static_cast<int>(-result)).with_pid(task.pid());
  };
  const std::vector<int64_t> mapped = call_together(calls);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (!is_error(mapped[i])) wanted[i]->code_addr_ = static_cast<uint64_t>(mapped[i]);
  }
  for (std::size_t i = 0; i < wanted.size(); ++i) check(*wanted[i], mapped[i]);
  for (PlannedCall& call : calls) {
    const uint64_t data_addr = call.task->code_addr_ + call.task->code_bytes();
    call.args = {data_addr, call.task->arena_bytes() - call.task->code_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, ~0ULL, 0};
  }
  const std::vector<int64_t> data = call_together(calls);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    check(*wanted[i], data[i]);
    wanted[i]->data_addr_ = static_cast<uint64_t>(data[i]);
  }
  for (FrozenTask* task : wanted) task->open_arena();
}

void FrozenTask::open_arena() {
  // Nobody has touched it: a page is there only if the kernel locks and populates what is mapped.
  const auto entries = Pagemap::open(pid_).entries({code_addr_, code_addr_ + kPageSize});
  locks_future_ = !entries.empty() && (entries.front() >> 63 & 1) != 0;
  const auto object = [&](uint64_t start, uint64_t end) {
    return open_checked(fmt::format("{}map_files/{:x}-{:x}", proc_, start, end), O_RDWR);
  };
  const uint64_t end = code_addr_ + arena_bytes();
  arena_ = std::make_unique<RemoteArena>(object(code_addr_, data_addr_), object(data_addr_, end), end - data_addr_, code_addr_,
                                         data_addr_, threads_.size(), false);
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

void FrozenTask::settle() { settle_all({this}); }

void FrozenTask::settle_all(const std::vector<FrozenTask*>& tasks) {
  const auto each = [&](auto&& step) {
    for (FrozenTask* task : tasks) {
      for (FrozenThread& thread : task->threads_) {
        if (thread.remote != nullptr) step(*thread.remote);
      }
    }
  };
  each([](RemoteThread& remote) { remote.interrupt(); });
  each([](RemoteThread& remote) { remote.await_stop(); });
}

void FrozenTask::eject() { eject_all({this}); }

void FrozenTask::eject_all(const std::vector<FrozenTask*>& tasks) {
  std::vector<FrozenTask*> injected;
  std::copy_if(tasks.begin(), tasks.end(), std::back_inserter(injected), [](const FrozenTask* task) { return task->code_addr_ != 0; });
  settle_all(injected);
  std::vector<PlannedCall> calls;
  for (FrozenTask* task : injected) {
    for (FrozenThread& thread : task->threads_) {
      if (thread.remote != nullptr) thread.remote->leave();
      thread.remote.reset();
    }
    calls.push_back({task, SYS_munmap, {task->code_addr_, task->arena_bytes()}});
  }
  static_cast<void>(call_together(calls));
  for (FrozenTask* task : injected) {
    task->arena_.reset();
    task->code_addr_ = task->data_addr_ = 0;
  }
}

}  // namespace crx
