// The mappings of a task, as rounds need them and as the image tells them (mm-PID.img).
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
#include "common/proc/smaps.hpp"

namespace crx {

class FileTable;

// A mapping in huge pages (hugetlb).
struct HugeMapping {
  PageRange range;
  bool shared = false;
  bool reserved = true;  // pages were set aside when it was mapped (no MAP_NORESERVE)
  uint64_t object = 0;   // inode; of private ones: those that fork made of one have the same
  uint64_t offset = 0;
  uint64_t page_bytes = 0;
};

// Reads /proc/PID/maps as often as wanted and keeps what is dear to find out (the VmFlags of smaps). The task may run
// or be stopped. Not thread-safe.
class MemoryMap {
 public:
  MemoryMap(pid_t pid, FileTable& files);

  // Reads the mappings. What `ours` says is left out: the arena of a frozen task.
  void read(const FrozenTask* ours = nullptr);
  // Reads VmFlags too, for all mappings as of now: 8-17 ms per GiB, so not while the task is frozen if it can be
  // helped.
  void read_flags();
  // Whether every mapping had its VmFlags read with the bounds it has now.
  bool flags_are_current() const;

  const std::vector<MemoryVma>& vmas() const noexcept { return vmas_; }
  uint64_t resident_bytes() const;

  // What cannot move, by name.
  std::vector<Refusal> refusals() const;
  // Mappings of huge pages, as read. Reads VmFlags where there are any; of a task that runs: without what has gone
  // since.
  std::vector<HugeMapping> huge_mappings();

  // The image's description of what read() saw; the program break is the end of the heap there. Adds mapped files to
  // the FileTable. Of a task that runs: throws when a mapping has gone since.
  const img::mm_entry& describe();
  // As describe() made it last.
  const img::mm_entry& description() const noexcept { return description_; }
  // What CRIU's description has no room for: names, seals, locking on fault.
  std::vector<img::crx_vma_entry> attributes() const;
  // Ids of the files that the last describe() referred to, the executable included; ascending.
  const std::vector<uint32_t>& file_ids() const noexcept { return file_ids_; }
  // Starts of private mappings that are charged to the commit limit (VmFlags "ac") though not writable.
  const std::vector<uint64_t>& commit_charged() const noexcept { return commit_charged_; }
  const std::vector<img::memfd_inode_entry>& memfds() const noexcept { return mapped_.memfds(); }
  // Attached System V segments.
  const std::vector<img::ipc_shm_entry>& segments() const noexcept { return segments_; }

 private:
  bool may_become_writable(const proc::MapsEntry& map) const;
  // Of a mapping: as read, or of the one that was there then and has other bounds now. nullptr: a new one.
  const std::string* flags_of(const proc::MapsEntry& map) const;
  const proc::SmapsEntry* details_of(const proc::MapsEntry& map) const;
  // Marks the VMAs with what makes a vessel map them anew, so that rounds send again what is lost then.
  void note_births();
  void describe_vma(const proc::MapsEntry& map, const MemoryVma& vma, img::vma_entry& entry);
  void describe_backing(const proc::MapsEntry& map, const MemoryVma& vma, img::vma_entry& entry);
  void describe_segment_of(const proc::MapsEntry& map, img::vma_entry& entry);
  // A segment that is not there as a whole cannot be attached again.
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
  std::vector<proc::SmapsEntry> smaps_;  // of the last read_flags()
  img::mm_entry description_;
  std::vector<uint32_t> file_ids_;
  std::vector<img::ipc_shm_entry> segments_;
  std::vector<uint64_t> commit_charged_;
};

}  // namespace crx
