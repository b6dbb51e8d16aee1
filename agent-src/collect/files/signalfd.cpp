// signalfd(2): the signal mask. Pending signals are collected with the task.
#include "agent-src/collect/kind/fd_kind.hpp"

namespace crx {
namespace {

class Signalfds final : public FdKind {
 public:
  const char* name() const override { return "signalfd"; }
  bool matches(const OpenFile& file) const override { return file.is_anonymous("anon_inode:[signalfd]"); }

  void collect(OpenFile& file, FdContext&, img::file_entry& entry) override {
    if (!file.info.signalfd_mask) refuse(file, "the kernel does not tell its signals", "use a newer kernel");
    entry.set_type(img::SIGNALFD);
    img::signalfd_entry& sgfd = *entry.mutable_sgfd();
    sgfd.set_id(file.id);
    sgfd.set_flags(file.info.flags);
    *sgfd.mutable_fown() = read_file_owner(file);
    sgfd.set_signal_mask(*file.info.signalfd_mask);
  }
};

}  // namespace

FdKindPtr make_signalfds() {
  return std::make_unique<Signalfds>();
}

}  // namespace crx
