#include "agent-dst/vessel/vessel_calls.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <utility>

#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/pidfd.hpp"
#include "common/remote/wait_status.hpp"

namespace crx {
namespace {

// Creates the memory object for one half of an arena.
Fd arena_object(const char* name, std::size_t bytes) {
  int fd = ::memfd_create(name, MFD_CLOEXEC | 0x10u /* MFD_EXEC, Linux 6.3 */);
  if (fd < 0) fd = ::memfd_create(name, MFD_CLOEXEC);
  if (fd < 0) throw_errno("making the arena", "memfd");
  Fd object(fd);
  if (::ftruncate(object.get(), static_cast<off_t>(bytes)) < 0) throw_errno("making the arena", "memfd");
  return object;
}

}  // namespace

VesselCalls::VesselCalls(uint64_t addr, bool populate)
    : code_object_(arena_object("crx-code", code_bytes())),
      data_object_(arena_object("crx-data", data_bytes())),
      arena_(code_object_, data_object_, data_bytes(), addr, addr + code_bytes(), kMostThreads, populate) {}

VesselCalls::~VesselCalls() {
  if (pid_ == 0) return;
  try {
    send_signal(pidfd_.get(), SIGKILL);
    // The tracer has to reap all threads before the parent sees the process end. The leader comes last: the kernel
    // reports its end only when all other threads have been reaped.
    for (auto thread = threads_.rbegin(); thread != threads_.rend(); ++thread) {
      if (thread->tid() == 0) continue;
      static_cast<void>(reap_killed(thread->tid(), Deadline::never()));
      thread->forget();
    }
  } catch (const std::exception& error) {
    log::debug("removing vessel {}: {}", pid_, error.what());
  }
}

void VesselCalls::take(TracedThread leader) {
  pid_ = leader.tid();
  threads_.push_back(std::move(leader));
  pidfd_ = open_pidfd(pid_);
}

void VesselCalls::take_thread(TracedThread thread) {
  threads_.push_back(std::move(thread));
}

void VesselCalls::open() {
  for (std::size_t i = remotes_.size(); i < threads_.size(); ++i) {
    remotes_.push_back(std::make_unique<RemoteThread>(threads_[i], arena_, i, false));
  }
}

void VesselCalls::run_checked(RemoteBatch& batch) {
  if (batch.size() == 0) return;
  remotes_.front()->run(batch);
  batch.check_all();
}

// Interrupts only once: a second PTRACE_INTERRUPT before the first stop is awaited would stop the thread again later.
void VesselCalls::interrupt() {
  if (std::exchange(interrupted_, true)) return;
  for (auto& remote : remotes_) remote->interrupt();
}

void VesselCalls::leave() {
  interrupt();
  for (auto& remote : remotes_) remote->await_stop();
  for (auto& remote : remotes_) remote->leave();
  interrupted_ = false;
}

void VesselCalls::close() {
  leave();
  remotes_.clear();
}

void VesselCalls::unleash() {
  for (TracedThread& thread : threads_) thread.set_options(TracedThread::Kind::victim, false);
}

void VesselCalls::release() {
  for (TracedThread& thread : threads_) thread.detach();
  threads_.clear();
  pid_ = 0;
}

}  // namespace crx
