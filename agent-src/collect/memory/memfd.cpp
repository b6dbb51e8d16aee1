#include "agent-src/collect/memory/memfd.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "agent-src/collect/kind/fd_kind.hpp"
#include "agent-src/memory/vma.hpp"
#include "common/base/error.hpp"
#include "common/image/image_io.hpp"
#include "common/image/magic.hpp"
#include "common/proc/text.hpp"

#ifndef F_GET_SEALS
#define F_GET_SEALS 1034
#endif

namespace crx {
namespace {

constexpr std::string_view kPrefix = "/memfd:";
constexpr std::string_view kAnonymousLink = "/dev/zero (deleted)";

class Memfds final : public FdKind {
 public:
  const char* name() const override { return "memfd"; }
  bool matches(const OpenFile& file) const override { return is_memfd(file.link, file.st) && !file.path_only(); }

  void collect(OpenFile& file, FdContext& context, img::file_entry& entry) override {
    entry.set_type(img::MEMFD);
    img::memfd_file_entry& memfd = *entry.mutable_memfd();
    memfd.set_id(file.id);
    memfd.set_flags(file.info.flags);
    memfd.set_pos(static_cast<uint64_t>(std::max<int64_t>(file.info.pos, 0)));
    *memfd.mutable_fown() = read_file_owner(file);
    const uint64_t number = object_number(file.st.st_dev, file.st.st_ino);
    memfd.set_inode_id(static_cast<uint32_t>(number));
    if (context.task.files.first_memfd(static_cast<uint32_t>(number))) {
      context.task.images.append(image_file::kMemfdInode, describe_memfd(file.own.get(), file.link));
    }
  }
};

}  // namespace

bool is_memfd(std::string_view link, const struct stat& st) {
  if (!S_ISREG(st.st_mode) || st.st_nlink != 0) return false;
  return (link.starts_with(kPrefix) && link.ends_with(proc::kDeleted)) ||
         (link == kAnonymousLink && st.st_dev == shmem_device());
}

img::memfd_inode_entry describe_memfd(int fd, std::string_view link) {
  struct stat st {};
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (::fstat(fd, &st) != 0 || seals < 0) throw_errno("looking at a memfd", std::string(link));
  if (st.st_ino > UINT32_MAX)
    throw Error(ErrorCode::unsupported, "looking at a memfd", "its inode number is over 32 bits");
  img::memfd_inode_entry inode;
  inode.set_name(std::string(link == kAnonymousLink
                                 ? image_file::kAnonymousObjectName
                                 : link.substr(kPrefix.size(), link.size() - kPrefix.size() - proc::kDeleted.size())));
  inode.set_uid(st.st_uid);
  inode.set_gid(st.st_gid);
  inode.set_size(static_cast<uint64_t>(st.st_size));
  const uint64_t number = object_number(st.st_dev, st.st_ino);
  inode.set_shmid(static_cast<uint32_t>(number));
  inode.set_seals(static_cast<uint32_t>(seals));
  inode.set_inode_id(number);
  inode.set_mode(st.st_mode);
  if (number != st.st_ino) inode.set_hugetlb_flag(MFD_HUGETLB | huge_size_flag(static_cast<uint64_t>(st.st_blksize)));
  return inode;
}

std::vector<OpenMemfd> open_memfds(pid_t pid) {
  std::vector<OpenMemfd> found;
  std::set<uint64_t> seen;
  for (const int number : list_numbers(pid)) {
    const std::string proc_link = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(number);
    char start[kPrefix.size()];
    if (::readlink(proc_link.c_str(), start, sizeof start) != sizeof start) continue;
    const std::string_view seen_start(start, sizeof start);
    if (seen_start != kPrefix && !kAnonymousLink.starts_with(seen_start)) continue;
    Fd fd = try_open(proc_link, O_RDONLY);
    struct stat st {};
    if (!fd || ::fstat(fd.get(), &st) != 0 || !seen.insert(object_number(st.st_dev, st.st_ino)).second) continue;
    const std::string link = read_link("/proc/self/fd/" + std::to_string(fd.get()));
    if (is_memfd(link, st)) found.push_back({describe_memfd(fd.get(), link), std::move(fd)});
  }
  return found;
}

FdKindPtr make_memfds() {
  return std::make_unique<Memfds>();
}

}  // namespace crx
