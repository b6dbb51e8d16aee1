// What every kind of descriptor at the source implements: open file description -> files.img.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent-src/collect/kind/collector.hpp"
#include "agent-src/collect/kind/file_table.hpp"
#include "agent-src/tree/open_file.hpp"
#include "common/image/schema/files.pb.h"

namespace crx {

// Shared by all kinds while a frozen tree's descriptors are collected.
struct FdContext {
  CollectContext& task;          // the root
  std::vector<OpenFile>& files;  // of the whole tree; what is not among them is outside

  std::vector<OpenFile> arrived = {};  // add()'s, until discover() or collect() of who added them is over

  // A description that no task has a number for: it is on its way through a socket. Takes a duplicate of it, with link,
  // st and info filled; the id of the description, which is an old one where a task (or a queue) has it, too.
  uint32_t add(OpenFile file);
  // The root's crx_task_entry.files: what CRIU's message has no field for; made on first use.
  img::crx_file_entry& extra(const OpenFile& file);
};

// One kind of descriptor: one pair of files (here and in agent-dst/restore) and a line in fd_registry.cpp. Every
// description is of the first kind that matches. Objects live for one freeze (or one preflight).
class FdKind {
 public:
  virtual ~FdKind() = default;
  virtual const char* name() const = 0;
  virtual bool matches(const OpenFile& file) const = 0;
  // Why this description of a running tree cannot move; called once per number. all: those of the tree.
  virtual void inspect(const OpenFile& /*file*/, const std::vector<OpenFile>& /*all*/, InspectContext&) {}
  // The tree is frozen: adds descriptions that only this kind can find, before any kind looks at who is inside.
  virtual void discover(FdContext&) {}
  // Fills the kind's message, whose id is file.id, and entry.type (entry.id is set). Throws Error(refused) if it
  // cannot move. Read-only for the tasks and for what is queued.
  virtual void collect(OpenFile& file, FdContext& context, img::file_entry& entry) = 0;
  // After the last description of all kinds: images of its own.
  virtual void finish(FdContext&) {}
};

using FdKindPtr = std::unique_ptr<FdKind>;
// In the order of matching (fd_registry.cpp); the last one matches, and refuses, what is left.
std::vector<FdKindPtr> make_fd_kinds();

// Owner and signal of asynchronous input (F_SETOWN, F_SETSIG), read through our duplicate. Refuses an owner outside.
img::fown_entry read_file_owner(const OpenFile& file);
// Error(refused) about a description: "object: reason; remedy".
[[noreturn]] void refuse(const OpenFile& file, const std::string& reason, const std::string& remedy);
Refusal refusal_of(const OpenFile& file, const std::string& reason, const std::string& remedy);

}  // namespace crx
