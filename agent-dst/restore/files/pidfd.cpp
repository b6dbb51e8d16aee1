// Process descriptors, for tasks of the tree and for processes that have ended.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <map>

#include "agent-dst/restore/kind/fd_restorer.hpp"
#include "common/base/error.hpp"
#include "common/kernel/process/child_process.hpp"

namespace crx {
namespace {

constexpr uint32_t kPidfdThread = O_EXCL;  // PIDFD_THREAD, Linux 6.9
constexpr int32_t kEnded = -1;

class Pidfds final : public FdRestorer {
 public:
  const char* name() const override { return "pidfd"; }
  bool matches(const img::file_entry& entry) const override { return entry.type() == img::PIDFD && entry.has_pidfd(); }

  Fd open(const img::file_entry& entry, FdRestoreContext& context) override {
    const img::pidfd_entry& pidfd = entry.pidfd();
    const std::string object = describe("pidfd", entry.id(), context);
    const bool ended = pidfd.nspid() == kEnded;
    if (!ended && context.task.tree.find(pidfd.nspid()) == nullptr) {
      throw Error(ErrorCode::unsupported, "restoring a pidfd", fmt::format("{}: of process {}", object, pidfd.nspid()));
    }
    const pid_t pid = ended ? ended_process(pidfd.ino()) : pidfd.nspid();
    Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, pidfd.flags() & (kPidfdThread | O_NONBLOCK))));
    if (!fd) throw_errno("restoring a pidfd", object);
    return fd;
  }

  void opened(FdRestoreContext&) override { ended_.clear(); }

 private:
  // It ends at once, and stays a zombie until all descriptors have been opened.
  pid_t ended_process(uint32_t inode) {
    ChildProcess& child = ended_[inode];
    if (!child) child = ChildProcess::fork("restoring a pidfd", [] { return 0; });
    return child.pid();
  }

  std::map<uint32_t, ChildProcess> ended_;  // keyed by the number that tells them apart in the images
};

}  // namespace

FdRestorerPtr make_pidfd_restorer() {
  return std::make_unique<Pidfds>();
}

}  // namespace crx
