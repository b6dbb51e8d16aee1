// The descriptor tables of a tree: every description opened here once, then put into each task under its numbers.
#pragma once

#include <set>
#include <vector>

#include "agent-dst/restore/kind/fd_restorer.hpp"

namespace crx {

// The contexts of all tasks, the root's first; they must outlive this object. Steps are called in this order, once
// each.
class TreeDescriptors {
 public:
  explicit TreeDescriptors(std::vector<RestoreContext*> tasks);
  // Opens every description in our own process and hands it over; the vessels' arenas are free and have only leaders.
  void install();
  // Owners of asynchronous input may be threads, so these wait until all exist.
  void set_owners();
  // Step 4 of the cutover.
  void commit();
  void resumed() noexcept;
  bool awaits_end() const;
  void original_ended() noexcept;

 private:
  void read_images();
  void read_table(RestoreContext& task);
  void open(uint32_t id);
  void inject(RestoreContext& task);
  void set_owner(uint32_t id, const img::fown_entry& owner, bool async);
  FdRestorer& kind_of(const img::file_entry& entry) const;

  std::vector<RestoreContext*> tasks_;
  std::vector<FdRestorerPtr> kinds_;
  FdRestoreContext fds_;
  std::set<uint32_t> tables_;  // that have been read (task_kobj_ids_entry.files_id)
};

}  // namespace crx
