// memfds: their content is an object of the memory rounds; this file opens each description of it.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <map>
#include <set>

#include "agent-dst/restore/kind/fd_restorer.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"

namespace crx {
namespace {

class Memfds final : public FdRestorer {
 public:
  const char* name() const override { return "memfd"; }
  bool matches(const img::file_entry& entry) const override { return entry.type() == img::MEMFD && entry.has_memfd(); }

  Fd open(const img::file_entry& entry, FdRestoreContext& context) override {
    const img::memfd_file_entry& memfd = entry.memfd();
    const std::string object = describe("memfd", entry.id(), context);
    const int content = context.task.shmem.memfd(inode_of(memfd.inode_id(), context));
    const auto flags = static_cast<int>(memfd.flags() & (O_ACCMODE | O_APPEND | O_NONBLOCK | O_NOATIME | O_DIRECT));
    // The kernel does not count the descriptor of memfd_create(2) as a writer, so a memfd with no other descriptor can
    // be executed.
    const bool first = (flags & O_ACCMODE) == O_RDWR && original_.insert(memfd.inode_id()).second;
    Fd fd = first ? duplicate(content) : open_checked(fmt::format("/proc/self/fd/{}", content), flags);
    if (first) set_status_flags(fd.get(), memfd.flags(), object);
    if (memfd.pos() != 0 && ::lseek(fd.get(), static_cast<off_t>(memfd.pos()), SEEK_SET) < 0) {
      throw_errno("restoring a memfd", object);
    }
    return fd;
  }

 private:
  const img::memfd_inode_entry& inode_of(uint32_t inode_id, FdRestoreContext& context) {
    if (inodes_.empty()) {
      for (const auto& inode : context.task.images.read_all<img::memfd_inode_entry>(image_file::kMemfdInode)) {
        inodes_[inode.inode_id()] = inode;
      }
    }
    const auto found = inodes_.find(inode_id);
    if (found == inodes_.end()) {
      throw Error(ErrorCode::corrupt_image, "restoring a memfd", fmt::format("inode {} is not in the set", inode_id));
    }
    return found->second;
  }

  std::map<uint64_t, img::memfd_inode_entry> inodes_;
  std::set<uint32_t> original_;  // inodes whose original descriptor has been used for a description
};

}  // namespace

FdRestorerPtr make_memfd_restorer() {
  return std::make_unique<Memfds>();
}

}  // namespace crx
