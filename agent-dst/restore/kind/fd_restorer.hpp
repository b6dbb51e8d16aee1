// What every kind of descriptor at the destination implements: files.img -> an open file description.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent-dst/restore/kind/restorer.hpp"
#include "common/base/fd.hpp"
#include "common/image/schema/files.pb.h"

namespace crx {

// A number under which a task has a description.
struct FdPlace {
  RestoreContext* task = nullptr;
  int fd = -1;
  bool cloexec = false;
};

// Shared by all kinds while the descriptors of a tree are restored.
struct FdRestoreContext {
  RestoreContext& task;                             // the root
  std::map<uint32_t, img::file_entry> entries;      // every description that a table refers to, or another description
  std::map<uint32_t, std::vector<FdPlace>> places;  // by description: task by task, ascending numbers
  std::map<uint32_t, Fd> own;                       // our descriptor of each, from open() until all are in place

  // crx_task_entry.files; the default where the set tells nothing.
  const img::crx_file_entry& extra(uint32_t id) const;
  // The first task and number that have it; Error(corrupt_image) when nobody has.
  const FdPlace& place_of(uint32_t id) const;
  int number_of(uint32_t id) const { return place_of(id).fd; }
};

// One kind; a line in fd_registry.cpp.
class FdRestorer {
 public:
  virtual ~FdRestorer() = default;
  virtual const char* name() const = 0;
  virtual bool matches(const img::file_entry& entry) const = 0;
  // A new description in our own process, with content, position and status flags (O_ASYNC aside). Each id once.
  virtual Fd open(const img::file_entry& entry, FdRestoreContext& context) = 0;
  // After the last open() of all kinds, before the descriptors go to the tasks: drops what was only held meanwhile.
  virtual void opened(FdRestoreContext&) {}
  // Remote calls that need the numbers in the tasks: in batches of its own; the arenas are free, reset them as needed.
  virtual void fix_up(FdRestoreContext&) {}
  // Step 4 of the cutover (Restorer::commit). Numbers and images are still at hand, `own` is not: keep duplicates.
  virtual void commit(FdRestoreContext&) {}
  // The move is decided, and the tasks are about to be let go: what others can see and nobody can take back. Failures
  // are logged; nothing is thrown.
  virtual void resumed(FdRestoreContext&) noexcept {}
  // As Restorer's, asked for where the original is in this kernel.
  virtual bool awaits_end() const { return false; }
  virtual void original_ended() noexcept {}
};

using FdRestorerPtr = std::unique_ptr<FdRestorer>;
std::vector<FdRestorerPtr> make_fd_restorers();

// fcntl(F_SETFL) of the flags that can be set (O_ASYNC aside); `object` names it in errors.
void set_status_flags(int fd, uint32_t flags, const std::string& object);
// "eventfd 7" for messages: the kind and the lowest number.
std::string describe(const char* kind, uint32_t id, const FdRestoreContext& context);

}  // namespace crx
