#include "agent-dst/vessel/vessel_descriptors.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/base/error.hpp"
#include "common/kernel/process/pidfd.hpp"

namespace crx {
namespace {

// The highest number in the table of 64 descriptors that the kernel embeds in a task's files_struct.
constexpr int kEnginePidfdNumber = 63;
constexpr int kMostDescriptors = 1 << 20;
constexpr char kMove[] = "moving the agent's pidfd";

// Returns a pidfd of the engine itself. Its number is low, because a descriptor table grows to the highest number in
// it, is copied by each fork, and never shrinks.
Fd make_engine_pidfd() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  const Fd self = open_pidfd(::getpid());
  Fd engine_pidfd(::fcntl(self.get(), F_DUPFD_CLOEXEC, kEnginePidfdNumber));
  if (!engine_pidfd) {
    throw Error(ErrorCode::kernel, "opening a pidfd of the agent", "a descriptor number", errno)
        .with_hint("raise the limit of open files (ulimit -n)");
  }
  return engine_pidfd;
}

}  // namespace

int VesselDescriptors::Table::lowest_free() const {
  int number = all_taken;
  while (number == engine_pidfd || taken.contains(number)) ++number;
  return number;
}

void VesselDescriptors::Table::take(int number) {
  taken.insert(number);
  while (taken.contains(all_taken)) ++all_taken;
}

VesselDescriptors::VesselDescriptors(VesselCalls& calls)
    : calls_(calls), own_pidfd_(make_engine_pidfd()), table_(std::make_shared<Table>()) {
  table_->engine_pidfd = own_pidfd_.get();
}

VesselDescriptors::VesselDescriptors(VesselCalls& calls, const VesselDescriptors& from, bool shares)
    : calls_(calls), table_(shares ? from.table_ : std::make_shared<Table>(*from.table_)) {}

void VesselDescriptors::move_engine_pidfd(RemoteBatch& batch, int number) {
  batch.add(kMove, SYS_dup3, table_->engine_pidfd, number, O_CLOEXEC);
  batch.add(kMove, SYS_close, table_->engine_pidfd);
  table_->engine_pidfd = number;
}

void VesselDescriptors::plan_way(RemoteBatch& batch, int highest) {
  if (highest < table_->engine_pidfd) return;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) throw_errno(kMove, "RLIMIT_NOFILE");
  const auto last = static_cast<int>(std::min<rlim_t>(limit.rlim_cur, kMostDescriptors)) - 1;
  move_engine_pidfd(batch, std::min(highest + 1, last));
}

std::size_t VesselDescriptors::plan_borrow(RemoteBatch& batch, int fd) {
  return batch.add("handing over a descriptor", SYS_pidfd_getfd, table_->engine_pidfd, fd, 0);
}

void VesselDescriptors::plan_inject(RemoteBatch& batch, int fd, int target, bool cloexec) {
  if (target == table_->engine_pidfd) {  // the task needs this number, so engine_pidfd moves away
    int aside = target;
    do {
      --aside;
    } while (table_->taken.contains(aside));
    move_engine_pidfd(batch, aside);
  }
  // pidfd_getfd(2) uses the lowest free number, which is known here, since only the plan_* functions fill the table.
  const int lowest = lowest_free();
  const std::size_t got = plan_borrow(batch, fd);
  if (lowest == target) {
    batch.add("setting close-on-exec", SYS_fcntl, target, F_SETFD, cloexec ? FD_CLOEXEC : 0);
  } else {
    const std::size_t dup = batch.add("placing a descriptor", SYS_dup3, 0, target, cloexec ? O_CLOEXEC : 0);
    batch.store_result(got, batch.argument_addr(dup, 0));
    batch.add("placing a descriptor", SYS_close, lowest);
  }
  table_->take(target);
}

bool VesselDescriptors::plan_close(RemoteBatch& batch) {
  if (!std::exchange(table_->is_open, false)) return false;
  batch.add("closing the agent's pidfd", SYS_close, table_->engine_pidfd);
  return true;
}

Fd VesselDescriptors::open_as(const std::string& path, int flags) {
  const ArenaScope scratch(calls_.arena());
  const int64_t number =
      calls_.call("opening a file", SYS_openat, AT_FDCWD, calls_.arena().put_string(path), flags | O_CLOEXEC);
  Fd fd = try_get_fd(calls_.pidfd(), static_cast<int>(number));
  if (!fd) throw_errno("opening a file", path);
  calls_.call("closing a file", SYS_close, number);
  return fd;
}

void VesselDescriptors::unshare() {
  table_ = std::make_shared<Table>(*table_);
}

}  // namespace crx
