// eventfd(2): the counter.
#include "agent-src/collect/kind/fd_kind.hpp"

namespace crx {
namespace {

class Eventfds final : public FdKind {
 public:
  const char* name() const override { return "eventfd"; }
  bool matches(const OpenFile& file) const override { return file.is_anonymous("anon_inode:[eventfd]"); }

  void collect(OpenFile& file, FdContext& context, img::file_entry& entry) override {
    if (!file.info.eventfd) refuse(file, "the kernel does not tell its counter", "use a newer kernel");
    entry.set_type(img::EVENTFD);
    img::eventfd_file_entry& efd = *entry.mutable_efd();
    efd.set_id(file.id);
    efd.set_flags(file.info.flags);
    *efd.mutable_fown() = read_file_owner(file);
    efd.set_counter(file.info.eventfd->count);
    if (file.info.eventfd->semaphore) context.extra(file).set_semaphore(true);
  }
};

}  // namespace

FdKindPtr make_eventfds() {
  return std::make_unique<Eventfds>();
}

}  // namespace crx
