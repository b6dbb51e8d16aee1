// The interface that every kind of descriptor at the source implements: it turns an open file description into an entry
// of files.img.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent-src/collect/kind/collector.hpp"
#include "agent-src/collect/kind/file_table.hpp"
#include "agent-src/tree/open_file.hpp"
#include "common/image/schema/files.pb.h"

namespace crx {

// The context that all kinds share while the descriptors of a frozen tree are collected.
struct FdContext {
  CollectContext& task;          // the context of the tree's root
  std::vector<OpenFile>& files;  // descriptions of the whole tree; any other is outside

  std::vector<OpenFile> arrived = {};  // added by add(), until the caller's discover() or collect() returns

  // Adds a description that no task has a number for, since it is in flight in a socket (SCM_RIGHTS). Takes ownership
  // of a duplicate with link, st and info filled in. Returns the id of the description, which is that of an existing
  // entry if a task (or another queue) has it, too.
  uint32_t add(OpenFile file);
  // Returns the entry in the root's crx_task_entry.files for what CRIU's message has no field for; made on first use.
  img::crx_file_entry& extra(const OpenFile& file);
};

// One kind of descriptor: one pair of files (here and in agent-dst/restore) and a line in fd_registry.cpp. Every
// description belongs to the first kind that matches it. Objects live for one stop (or one preflight).
class FdKind {
 public:
  virtual ~FdKind() = default;
  // The name of the kind, for logs.
  virtual const char* name() const = 0;
  // Whether the description is of this kind: by its link, stat(2) and fdinfo. Works on running and frozen tasks.
  virtual bool matches(const OpenFile& file) const = 0;
  // Reports why this description of a running tree cannot move; called once per descriptor number. all: the
  // descriptions of the tree.
  virtual void inspect(const OpenFile& /*file*/, const std::vector<OpenFile>& /*all*/, InspectContext&) {}
  // Called when the tree is frozen: adds descriptions that only this kind can find, before any kind checks which
  // descriptions are inside the tree.
  virtual void discover(FdContext&) {}
  // Fills the kind's message, whose id is file.id, and entry.type (entry.id is set already). Throws Error(refused) if
  // the description cannot move. Leaves the tasks and everything queued unchanged.
  virtual void collect(OpenFile& file, FdContext& context, img::file_entry& entry) = 0;
  // Called after the last description of all kinds, to append images of the kind's own.
  virtual void finish(FdContext&) {}
};

using FdKindPtr = std::unique_ptr<FdKind>;
// Makes all kinds in the order of matching (fd_registry.cpp); the last one matches, and refuses, everything.
std::vector<FdKindPtr> make_fd_kinds();

// Reads the owner and signal of asynchronous input (F_SETOWN, F_SETSIG) through our duplicate. Throws Error(refused) if
// the owner is not in the tree.
img::fown_entry read_file_owner(const OpenFile& file);
// Throws Error(refused) about a description: "object: reason; remedy".
[[noreturn]] void refuse(const OpenFile& file, const std::string& reason, const std::string& remedy);
Refusal refusal_of(const OpenFile& file, const std::string& reason, const std::string& remedy);

}  // namespace crx
