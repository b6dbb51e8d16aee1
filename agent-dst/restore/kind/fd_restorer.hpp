// The interface that every kind of descriptor at the destination implements: it turns an entry of files.img into an
// open file description.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent-dst/restore/kind/restorer.hpp"
#include "common/base/fd.hpp"
#include "common/image/schema/files.pb.h"

namespace crx {

// A descriptor number under which a task has a description.
struct FdPlace {
  RestoreContext* task = nullptr;
  int fd = -1;
  bool cloexec = false;
};

// The context that all kinds share while the descriptors of a tree are restored.
struct FdRestoreContext {
  RestoreContext& task;                             // the context of the tree's root
  std::map<uint32_t, img::file_entry> entries;      // every description that a table, or another description, refers to
  std::map<uint32_t, std::vector<FdPlace>> places;  // by description: task by task, numbers ascending
  std::map<uint32_t, Fd> own;                       // our own descriptor of each, from open() until all are placed

  // Returns the entry of crx_task_entry.files; a default one if the set has none.
  const img::crx_file_entry& extra(uint32_t id) const;
  // Returns the first task and number that have the description; throws Error(corrupt_image) if no task has it.
  const FdPlace& place_of(uint32_t id) const;
  int number_of(uint32_t id) const { return place_of(id).fd; }
  // Returns the task as whom the file of a description is opened: the first that has it, else (it is under way in a
  // socket) the root.
  pid_t opener_of(uint32_t id) const;
};

// One kind of descriptor; it has a line in fd_registry.cpp.
class FdRestorer {
 public:
  virtual ~FdRestorer() = default;
  // The name of the kind, for logs.
  virtual const char* name() const = 0;
  // Whether the entry is of this kind: by its type and fields.
  virtual bool matches(const img::file_entry& entry) const = 0;
  // Makes a new description in our own process, with content, position and status flags (except O_ASYNC). Called once
  // for each id.
  virtual Fd open(const img::file_entry& entry, FdRestoreContext& context) = 0;
  // Called after the last open() of all kinds, before the descriptors go to the tasks: does what needs the descriptors
  // of other kinds (`own`; unix sockets fill their queues), and drops what was only kept meanwhile.
  virtual void opened(FdRestoreContext&) {}
  // Makes remote calls that need the descriptor numbers in the tasks, in batches of its own; the arenas are free, reset
  // them as needed.
  virtual void fix_up(FdRestoreContext&) {}
  // The commit step (Restorer::commit). Numbers and images are still available, `own` is not: keep duplicates.
  virtual void commit(FdRestoreContext&) {}
  // Called when the move is decided and the tasks are about to be released: does what others can see and what cannot be
  // undone. Failures are logged; nothing is thrown.
  virtual void resumed(FdRestoreContext&) noexcept {}
  // As in Restorer; called if the original is in this kernel.
  virtual bool awaits_end() const { return false; }
  virtual void original_ended() noexcept {}
};

using FdRestorerPtr = std::unique_ptr<FdRestorer>;
// Makes all kinds (fd_registry.cpp); each entry belongs to the one that matches it.
std::vector<FdRestorerPtr> make_fd_restorers();

// Calls fcntl(F_SETFL) for the flags that can be set (except O_ASYNC); `object` is the name used in errors.
void set_status_flags(int fd, uint32_t flags, const std::string& object);
// Returns "eventfd (pid 12 fd 7)" for messages: the kind, and the lowest number of the first task that has it.
std::string describe(const char* kind, uint32_t id, const FdRestoreContext& context);

}  // namespace crx
