// Descriptors of pidfd_open(2) for tasks of the tree and for tasks that have ended.
#include <fcntl.h>
#include <fmt/format.h>

#include "agent-src/collect/kind/fd_kind.hpp"

namespace crx {
namespace {

constexpr uint32_t kPidfdThread = O_EXCL;  // PIDFD_THREAD, Linux 6.9
constexpr int kEnded = -1;                 // the number in fdinfo and in the image

class Pidfds final : public FdKind {
 public:
  const char* name() const override { return "pidfd"; }
  bool matches(const OpenFile& file) const override { return file.is_anonymous("anon_inode:[pidfd]"); }

  void inspect(const OpenFile& file, const std::vector<OpenFile>&, InspectContext& context) override {
    const std::string reason = problem(file);
    if (!reason.empty()) context.refusals.push_back(refusal_of(file, reason, kRemedy));
  }

  void collect(OpenFile& file, FdContext&, img::file_entry& entry) override {
    const std::string reason = problem(file);
    if (!reason.empty()) refuse(file, reason, kRemedy);
    entry.set_type(img::PIDFD);
    img::pidfd_entry& pidfd = *entry.mutable_pidfd();
    pidfd.set_id(file.id);
    pidfd.set_ino(static_cast<uint32_t>(file.st.st_ino));
    pidfd.set_flags(file.info.flags);
    pidfd.set_nspid(file.info.pidfd->pid);
    *pidfd.mutable_fown() = read_file_owner(file);
  }

 private:
  static constexpr char kRemedy[] = "close it before moving the program";

  static std::string problem(const OpenFile& file) {
    const int pid = file.info.pidfd ? file.info.pidfd->pid : 0;
    if (file.is_in_tree(pid) || pid == kEnded) return {};
    if (pid == 0) return "it refers to a process that cannot be seen from here";
    if ((file.info.flags & kPidfdThread) != 0) return fmt::format("it refers to thread {}", pid);
    return fmt::format("it refers to process {}, which does not move along", pid);
  }
};

}  // namespace

FdKindPtr make_pidfds() {
  return std::make_unique<Pidfds>();
}

}  // namespace crx
