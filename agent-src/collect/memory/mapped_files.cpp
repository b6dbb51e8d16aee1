#include "agent-src/collect/memory/mapped_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <string_view>

#include "agent-src/collect/kind/file_table.hpp"
#include "common/base/error.hpp"
#include "common/kernel/memory/uapi_memory.hpp"
#include "common/proc/text.hpp"

namespace crx {
namespace {

constexpr int kGetSeals = 1034;  // F_GET_SEALS

}  // namespace

MappedFiles::MappedFiles(pid_t pid, FileTable& files) : pid_(pid), files_(files) {}

std::string MappedFiles::link_of(const proc::MapsEntry& map) const {
  return fmt::format("/proc/{}/map_files/{:x}-{:x}", pid_, map.start, map.end);
}

uint64_t MappedFiles::huge_page_bytes(const proc::MapsEntry& map) {
  uint64_t& bytes = huge_page_bytes_[::makedev(map.dev_major, map.dev_minor)];
  if (bytes == 0) bytes = object_huge_page_bytes(pid_, map);
  if (bytes == 0) throw_errno("looking at huge pages", link_of(map));
  return bytes;
}

uint32_t MappedFiles::file(const proc::MapsEntry& map, const MemoryVma& vma, uint32_t access) {
  const MappedFile key(map.dev_major, map.dev_minor, map.inode, vma.name, map.deleted, access);
  if (const auto known = file_ids_.find(key); known != file_ids_.end()) return known->second;
  // A \012 in maps is either a line feed or these four characters; the link tells which.
  std::string path = vma.name.find('\n') == std::string::npos ? vma.name : read_link(link_of(map));
  if (path != vma.name && map.deleted)
    path = path.substr(0, path.size() - std::min(path.size(), proc::kDeleted.size()));
  const uint32_t id = files_.add_path(link_of(map), path, map.deleted, access);
  file_ids_.emplace(key, id);
  return id;
}

uint32_t MappedFiles::memfd(const proc::MapsEntry& map, uint32_t access) {
  const std::string link = link_of(map);
  const Fd fd = open_checked(link, O_RDONLY);
  struct stat st {};
  if (::fstat(fd.get(), &st) < 0) throw_errno("looking at a memfd", link);
  const int seals = ::fcntl(fd.get(), kGetSeals);
  const uint64_t number = object_number(st.st_dev, map.inode);
  const auto object = static_cast<uint32_t>(number);
  const bool listed = std::any_of(memfds_.begin(), memfds_.end(), [&](const auto& m) { return m.shmid() == object; });
  if (!listed) {
    img::memfd_inode_entry inode;
    inode.set_name(map.name);
    inode.set_uid(st.st_uid);
    inode.set_gid(st.st_gid);
    inode.set_size(static_cast<uint64_t>(st.st_size));
    inode.set_shmid(object);
    inode.set_seals(seals < 0 ? 0 : static_cast<uint32_t>(seals));
    inode.set_inode_id(object);
    inode.set_mode(st.st_mode);
    if (number != map.inode) inode.set_hugetlb_flag(MFD_HUGETLB | huge_size_flag(huge_page_bytes(map)));
    memfds_.push_back(std::move(inode));
  }
  uint32_t& id = memfd_ids_[{number, access}];
  if (id != 0) return id;
  id = files_.next_id();
  img::file_entry entry;
  entry.set_type(img::MEMFD);
  entry.set_id(id);
  img::memfd_file_entry& memfd = *entry.mutable_memfd();
  memfd.set_id(id);
  memfd.set_flags(access);
  memfd.set_pos(0);
  memfd.set_inode_id(object);
  *memfd.mutable_fown() = no_owner();
  files_.add(std::move(entry));
  return id;
}

}  // namespace crx
