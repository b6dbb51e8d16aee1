// eventfd(2): the counter.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent-dst/restore/kind/fd_restorer.hpp"
#include "common/base/error.hpp"

namespace crx {
namespace {

class Eventfds final : public FdRestorer {
 public:
  const char* name() const override { return "eventfd"; }
  bool matches(const img::file_entry& entry) const override { return entry.type() == img::EVENTFD && entry.has_efd(); }

  Fd open(const img::file_entry& entry, FdRestoreContext& context) override {
    const std::string object = describe("eventfd", entry.id(), context);
    const int semaphore = context.extra(entry.id()).semaphore() ? EFD_SEMAPHORE : 0;
    Fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | semaphore));
    if (!fd) throw_errno("restoring an eventfd", object);
    const uint64_t counter = entry.efd().counter();
    if (counter != 0 && ::write(fd.get(), &counter, sizeof counter) != sizeof counter) {
      throw_errno("restoring an eventfd", object);
    }
    set_status_flags(fd.get(), entry.efd().flags(), object);
    return fd;
  }
};

}  // namespace

FdRestorerPtr make_eventfd_restorer() {
  return std::make_unique<Eventfds>();
}

}  // namespace crx
