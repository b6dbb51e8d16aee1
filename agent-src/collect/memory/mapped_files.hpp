// The files and memfds behind a task's mappings, as entries of the FileTable. Used by MemoryMap.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "agent-src/memory/vma.hpp"
#include "common/image/schema/regular.pb.h"
#include "common/proc/maps.hpp"

namespace crx {

class FileTable;

// Not thread-safe. The mappings passed in must be those of the task as it is now; throws Error (ENOENT) if one has
// gone.
class MappedFiles {
 public:
  MappedFiles(pid_t pid, FileTable& files);

  // Returns "/proc/PID/map_files/START-END".
  std::string link_of(const proc::MapsEntry& map) const;
  // Returns the id in the FileTable of a mapped file, opened with `access` (O_RDONLY or O_RDWR). The table is asked
  // only once per file: the line of maps identifies the file, and a stat(2) of each costs more than all else in a stop.
  uint32_t file(const proc::MapsEntry& map, const MemoryVma& vma, uint32_t access);
  // The same for a mapped memfd: one file entry for each access, one inode entry for the object, both keyed by the
  // inode.
  uint32_t memfd(const proc::MapsEntry& map, uint32_t access);
  // Returns the page size in bytes of a mapping in huge pages.
  uint64_t huge_page_bytes(const proc::MapsEntry& map);

  // The objects of the memfds that memfd() was called for since the last forget_memfds().
  const std::vector<img::memfd_inode_entry>& memfds() const noexcept { return memfds_; }
  void forget_memfds() { memfds_.clear(); }

 private:
  // device (major, minor), inode, name, deleted, access
  using MappedFile = std::tuple<uint32_t, uint32_t, uint64_t, std::string, bool, uint32_t>;

  pid_t pid_;
  FileTable& files_;
  std::vector<img::memfd_inode_entry> memfds_;
  std::map<std::pair<uint64_t, uint32_t>, uint32_t> memfd_ids_;  // object number and access -> file id
  std::map<MappedFile, uint32_t> file_ids_;
  std::map<uint64_t, uint64_t> huge_page_bytes_;  // keyed by device
};

}  // namespace crx
