// signalfd(2): the signal mask. Pending signals are restored with the task.
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>

#include "agent-dst/restore/kind/fd_restorer.hpp"
#include "common/base/error.hpp"

#include <sys/signalfd.h>

namespace crx {
namespace {

class Signalfds final : public FdRestorer {
 public:
  const char* name() const override { return "signalfd"; }
  bool matches(const img::file_entry& entry) const override {
    return entry.type() == img::SIGNALFD && entry.has_sgfd();
  }

  Fd open(const img::file_entry& entry, FdRestoreContext& context) override {
    const std::string object = describe("signalfd", entry.id(), context);
    const uint64_t mask = entry.sgfd().signal_mask();
    Fd fd(static_cast<int>(::syscall(SYS_signalfd4, -1, &mask, sizeof mask, SFD_CLOEXEC)));
    if (!fd) throw_errno("restoring a signalfd", object);
    set_status_flags(fd.get(), entry.sgfd().flags(), object);
    return fd;
  }
};

}  // namespace

FdRestorerPtr make_signalfd_restorer() {
  return std::make_unique<Signalfds>();
}

}  // namespace crx
