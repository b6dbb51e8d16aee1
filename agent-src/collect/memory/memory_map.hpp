// The mappings of a task, for the memory rounds and for the image (mm-PID.img).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "agent-src/collect/kind/collector.hpp"
#include "agent-src/collect/memory/mapped_files.hpp"
#include "agent-src/memory/vma.hpp"
#include "common/image/schema/ipc.pb.h"
#include "common/image/schema/mm.pb.h"
#include "common/proc/maps.hpp"

namespace crx {

class FileTable;

// A mapping in huge pages (hugetlb).
struct HugeMapping {
  PageRange range;
  bool shared = false;
  bool reserved = true;  // its pages were reserved when it was mapped (no MAP_NORESERVE)
  uint64_t object = 0;   // inode; private mappings that fork has copied have the same one
  uint64_t offset = 0;
  uint64_t page_bytes = 0;
};

// Reads /proc/PID/maps as often as wanted and caches what is expensive to read (the VmFlags of smaps). The task may run
// or be stopped. Not thread-safe. Throws Error(victim_gone) when the task has no address space any more.
class MemoryMap {
 public:
  MemoryMap(pid_t pid, FileTable& files);

  // Reads the mappings. `ours`, if given, is the frozen task whose arena is left out.
  void read(const FrozenTask* ours = nullptr);
  // Reads VmFlags, too, for all current mappings. This takes 8 to 17 ms per GiB, so avoid it while the task is frozen.
  void read_flags();
  // Whether the VmFlags of every mapping were read with its current bounds.
  bool flags_are_current() const;

  const std::vector<MemoryVma>& vmas() const noexcept { return vmas_; }
  // Returns the resident memory of the task at present (/proc/PID/stat), in bytes.
  uint64_t resident_bytes() const;

  // Lists the mappings that cannot move, by name.
  std::vector<Refusal> refusals() const;
  // Returns the mappings in huge pages that read() found. Reads VmFlags if there are any. If the task runs, mappings
  // that have gone meanwhile are left out.
  std::vector<HugeMapping> huge_mappings();

  // Returns the image's description of the mappings that read() found; its program break is the end of the heap. Adds
  // mapped files to the FileTable. Throws Error if a mapping of a running task has gone meanwhile.
  const img::mm_entry& describe();
  // Returns the result of the last describe().
  const img::mm_entry& description() const noexcept { return description_; }
  // Returns properties that CRIU's description has no field for: names, seals, locking on fault.
  std::vector<img::crx_vma_entry> attributes() const;
  // Returns the ids of the files that the last describe() referred to, the executable included; ascending.
  const std::vector<uint32_t>& file_ids() const noexcept { return file_ids_; }
  // Returns the start addresses of private mappings that are charged to the commit limit (VmFlags "ac") though not
  // writable.
  const std::vector<uint64_t>& commit_charged() const noexcept { return commit_charged_; }
  const std::vector<img::memfd_inode_entry>& memfds() const noexcept { return mapped_.memfds(); }
  // Returns the attached System V segments.
  const std::vector<img::ipc_shm_entry>& segments() const noexcept { return segments_; }

 private:
  bool may_become_writable(const proc::MapsEntry& map) const;
  // Returns the VmFlags of a mapping as read, or of the mapping that it was before its bounds changed. nullptr: a new
  // mapping.
  const std::string* flags_of(const proc::MapsEntry& map) const;
  const proc::SmapsEntry* details_of(const proc::MapsEntry& map) const;
  // Gives each VMA a number of everything that makes a vessel map it anew (MemoryVma::birth), so that rounds send again
  // what is lost then.
  void note_births();
  void describe_vma(const proc::MapsEntry& map, const MemoryVma& vma, img::vma_entry& entry);
  void describe_backing(const proc::MapsEntry& map, const MemoryVma& vma, img::vma_entry& entry);
  void describe_segment_of(const proc::MapsEntry& map, img::vma_entry& entry);
  // A segment that is mapped only in part cannot be attached again.
  bool is_attached_whole(const proc::MapsEntry& map) const;
  uint32_t memfd_file(const proc::MapsEntry& map);
  uint32_t memfd_that_runs(const std::string& exe);
  void describe_fields(img::mm_entry& mm);

  pid_t pid_;
  std::string proc_;
  FileTable& files_;
  MappedFiles mapped_;
  std::vector<proc::MapsEntry> maps_;
  std::vector<MemoryVma> vmas_;
  std::vector<proc::SmapsEntry> smaps_;  // from the last read_flags()
  img::mm_entry description_;
  std::vector<uint32_t> file_ids_;
  std::vector<img::ipc_shm_entry> segments_;
  std::vector<uint64_t> commit_charged_;
};

}  // namespace crx
