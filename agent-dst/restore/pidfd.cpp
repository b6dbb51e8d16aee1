#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent-dst/restore/fd_restorer.hpp"
#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr uint32_t kPidfdThread = O_EXCL;  // PIDFD_THREAD, Linux 6.9

class Pidfds final : public FdRestorer {
 public:
  const char* name() const override { return "pidfd"; }
  bool matches(const img::file_entry& entry) const override { return entry.type() == img::PIDFD && entry.has_pidfd(); }

  Fd open(const img::file_entry& entry, FdRestoreContext& context) override {
    const img::pidfd_entry& pidfd = entry.pidfd();
    const std::string object = describe("pidfd", entry.id(), context);
    if (context.task.tree.find(pidfd.nspid()) == nullptr) {
      throw Error(ErrorCode::unsupported, "restoring a pidfd", fmt::format("{}: of process {}", object, pidfd.nspid()));
    }
    Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, pidfd.nspid(), pidfd.flags() & (kPidfdThread | O_NONBLOCK))));
    if (!fd) throw_errno("restoring a pidfd", object);
    return fd;
  }
};

}  // namespace

FdRestorerPtr make_pidfd_restorer() { return std::make_unique<Pidfds>(); }

}  // namespace crx
