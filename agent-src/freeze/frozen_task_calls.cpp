// The part of FrozenTask that makes system calls: borrowed calls of its leader, and the arena.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <algorithm>
#include <iterator>

#include "agent-src/freeze/frozen_task.hpp"
#include "common/base/error.hpp"
#include "common/base/page.hpp"
#include "common/kernel/memory/pagemap.hpp"
#include "common/remote/healing_frame.hpp"

namespace crx {
namespace {

constexpr std::size_t kScratchBytes = 192 * 1024;
constexpr std::size_t kScratchOfThread = 4096;

bool is_error(int64_t result) {
  return result < 0 && result >= -4095;
}

}  // namespace

// Writes the frame by which the leader returns on its own if our process dies. Once per stop: the frame holds the state
// at the stop, which stays valid.
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

std::exception_ptr FrozenTask::call_together(std::vector<PlannedCall>& planned) {
  std::vector<BorrowedCall> calls;
  for (const PlannedCall& call : planned) {
    call.task->prepare_healing(call.task->site_);
    calls.push_back(
        {&call.task->leader().traced, call.task->site_.syscall_addr, call.nr, call.args, call.task->healing_addr_});
  }
  std::exception_ptr failure;
  try {
    make_calls(calls);
  } catch (const Error&) {  // kept for the caller: registers must be restored first
    failure = std::current_exception();
  }
  for (std::size_t i = 0; i < planned.size(); ++i) {
    planned[i].result = calls[i].result;
    try {
      planned[i].task->go_back();
    } catch (const Error&) {  // the first one is kept for the caller: the other threads must go back, too
      if (!failure) failure = std::current_exception();
    }
  }
  return failure;
}

int64_t FrozenTask::call(const CallSite& site, long nr, std::initializer_list<uint64_t> args) {
  site_ = site;
  std::vector<PlannedCall> planned = {{this, nr, {}}};
  std::copy(args.begin(), args.end(), planned.front().args.begin());
  if (const std::exception_ptr failure = call_together(planned)) std::rethrow_exception(failure);
  return *planned.front().result;
}

bool FrozenTask::is_arena(uint64_t start) const noexcept {
  return code_addr_ != 0 && (start == code_addr_ || start == data_addr_);
}

std::size_t FrozenTask::code_bytes() const {
  return RemoteArena::code_bytes(threads_.size());
}

std::size_t FrozenTask::arena_bytes(std::size_t threads) {
  return RemoteArena::code_bytes(threads) +
         RemoteArena::data_bytes(threads, kScratchBytes + threads * kScratchOfThread);
}

void FrozenTask::inject(const CallSite& site) {
  inject_all({this}, {site});
}

// The second mapping overlaps the end of the first, so that one call unmaps both. Each successful mapping is recorded
// before anything is thrown, since it must be unmapped again.
void FrozenTask::inject_all(const std::vector<FrozenTask*>& tasks, const std::vector<CallSite>& sites) {
  std::vector<PlannedCall> calls;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    FrozenTask& task = *tasks[i];
    if (task.arena_ != nullptr) continue;
    task.site_ = sites.at(i);
    calls.push_back(
        {&task, SYS_mmap, {0, task.arena_bytes(), PROT_READ | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, ~0ULL, 0}});
  }
  const auto map = [&](uint64_t FrozenTask::*place) {
    const std::exception_ptr failure = call_together(calls);
    for (const PlannedCall& call : calls) {
      if (call.result && !is_error(*call.result)) call.task->*place = static_cast<uint64_t>(*call.result);
    }
    if (failure) std::rethrow_exception(failure);
    for (const PlannedCall& call : calls) {
      if (!is_error(*call.result)) continue;
      throw Error(ErrorCode::kernel, "mapping the arena", fmt::format("{} bytes", call.task->arena_bytes()),
                  static_cast<int>(-*call.result))
          .with_pid(call.task->pid())
          .with_hint("if its limit of address space leaves no room, raise it (prlimit --as)");
    }
  };
  map(&FrozenTask::code_addr_);
  for (PlannedCall& call : calls) {
    const uint64_t data_addr = call.task->code_addr_ + call.task->code_bytes();
    call.args = {data_addr,
                 call.task->arena_bytes() - call.task->code_bytes(),
                 PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED,
                 ~0ULL,
                 0};
  }
  map(&FrozenTask::data_addr_);
  for (const PlannedCall& call : calls) call.task->open_arena();
}

void FrozenTask::open_arena() {
  // The arena is untouched: a page is present only if the kernel locks and populates new mappings.
  const auto entries = Pagemap::open(pid_).entries({code_addr_, code_addr_ + kPageSize});
  locks_future_ = !entries.empty() && (entries.front() >> 63 & 1) != 0;
  const auto object = [&](uint64_t start, uint64_t end) {
    return open_checked(fmt::format("{}map_files/{:x}-{:x}", proc_, start, end), O_RDWR);
  };
  const uint64_t end = code_addr_ + arena_bytes();
  arena_ = std::make_unique<RemoteArena>(object(code_addr_, data_addr_), object(data_addr_, end), end - data_addr_,
                                         code_addr_, data_addr_, threads_.size(), false);
}

RemoteThread& FrozenTask::remote(std::size_t index) {
  FrozenThread& thread = threads_.at(index);
  if (thread.remote == nullptr) thread.remote = std::make_unique<RemoteThread>(thread.traced, *arena_, index);
  return *thread.remote;
}

void FrozenTask::settle() {
  settle_all({this});
}

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

void FrozenTask::eject() {
  eject_all({this});
}

void FrozenTask::eject_all(const std::vector<FrozenTask*>& tasks) {
  std::vector<FrozenTask*> injected;
  std::copy_if(tasks.begin(), tasks.end(), std::back_inserter(injected),
               [](const FrozenTask* task) { return task->code_addr_ != 0; });
  settle_all(injected);
  std::vector<PlannedCall> calls;
  for (FrozenTask* task : injected) {
    for (FrozenThread& thread : task->threads_) {
      if (thread.remote != nullptr) thread.remote->leave();
      thread.remote.reset();
    }
    calls.push_back({task, SYS_munmap, {task->code_addr_, task->arena_bytes()}});
  }
  const std::exception_ptr failure = call_together(calls);
  for (FrozenTask* task : injected) {
    task->arena_.reset();
    task->code_addr_ = task->data_addr_ = 0;
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace crx
