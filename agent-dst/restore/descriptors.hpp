// The descriptor tables of a tree: each description is opened once in the agent, then put into each task under its
// numbers.
#pragma once

#include <set>
#include <vector>

#include "agent-dst/restore/kind/fd_restorer.hpp"

namespace crx {

// Takes the contexts of all tasks, the root's first; they must outlive this object. The steps are called in the order
// of declaration, once each; they throw what the kinds throw.
class TreeDescriptors {
 public:
  explicit TreeDescriptors(std::vector<RestoreContext*> tasks);
  // Opens every description in our own process and passes it to the tasks. The vessels' arenas are free, and each
  // vessel has only its leader.
  void install();
  // Sets the owners of asynchronous input. An owner may be a thread, so this waits until all threads exist.
  void set_owners();
  // The commit step of all kinds (FdRestorer::commit).
  void commit();
  // FdRestorer's calls of the same names, for all kinds.
  void resumed() noexcept;
  bool awaits_end() const;
  void original_ended() noexcept;

 private:
  // Names files.img for errors, since most kinds read it.
  void follow_files() const;
  void read_images();
  void read_table(RestoreContext& task);
  void open(uint32_t id);
  void inject(RestoreContext& task);
  void set_owner(uint32_t id, const img::fown_entry& owner, bool async);
  FdRestorer& kind_of(const img::file_entry& entry) const;

  std::vector<RestoreContext*> tasks_;
  std::vector<FdRestorerPtr> kinds_;
  FdRestoreContext fds_;
  std::set<uint32_t> tables_;  // tables that have been read (task_kobj_ids_entry.files_id)
  uint64_t descriptors_ = 0;   // in these tables
};

}  // namespace crx
