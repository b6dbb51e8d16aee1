// The interface that every resource kind at the source implements: it turns a frozen task into image messages.
#pragma once

#include <deque>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent-src/freeze/frozen_task.hpp"
#include "agent-src/freeze/frozen_tree.hpp"
#include "common/image/image_io.hpp"
#include "common/image/schema/core.pb.h"
#include "common/image/schema/crx.pb.h"
#include "common/proc/status.hpp"
#include "common/remote/batch.hpp"

namespace crx {

class StepClock;

class CgroupHomes;
class FileTable;
class KernelView;
class TcpBlock;

// The user's choices that collectors need.
struct CollectOptions {
  uint64_t ghost_limit_bytes = 1 << 20;
  bool with_files = false;
  bool ext_unix_sk = false;
  // inodes of sockets whose other end may be outside the tree (--external unix[INODE])
  std::set<uint64_t> external_unix;
  bool link_remap = false;
  bool file_locks = true;
  // Terminals whose other end is outside the tree stay behind; the restored process gets those of crx-restore's caller.
  bool shell_job = false;
  bool tcp_established = false;
  // The tree comes back on this host, and so do (with tcp_established) its connections to programs that stay here.
  bool same_host = false;
  // The hosts run different kernels: files that are open for writing get a digest of their content in the images.
  bool digest_written_files = false;
  bool cgroups = true;  // record which control groups the tasks are in
  // the groups that the tasks were in before the migration moved them; nullptr: it has not moved them
  const CgroupHomes* homes = nullptr;
  // Borrowed from the migration: drops the packets of TCP connections from the time they are collected on. nullptr:
  // they are dropped only while a connection is read.
  TcpBlock* packets = nullptr;
  // Borrowed from the migration or dump: reads what only the kernel's own structures have. nullptr: nothing reads them.
  KernelView* kernel = nullptr;
};

// A finding that something cannot move. The user sees one line: "object: reason; remedy".
struct Refusal {
  std::string object;  // "pid 12 fd 3 (socket:[4711])"
  std::string reason;
  std::string remedy;
};

// The context in which a collector looks at a running task from outside; nothing is stopped or touched.
struct InspectContext {
  pid_t pid;
  const std::vector<TaskNode>& tree;  // the tasks that move, the root first
  std::string proc;                   // "/proc/PID/"
  const CollectOptions& options;
  std::vector<Refusal>& refusals;
};

// The context that all collectors of one frozen task share. A collector sets its own fields of the messages, which are
// written to the sink after the last collector; images of its own (fdinfo, pipes-data, ...) it appends itself.
struct CollectContext {
  FrozenTree& tree;
  FrozenTask& task;
  ImageSink& images;
  FileTable& files;
  const CollectOptions& options;
  std::vector<img::core_entry>& cores;        // one per thread, in the order of task.threads(); [0] has tc and ids
  img::crx_task_entry& extra;                 // already has one `threads` entry per thread, in the same order
  const std::vector<proc::Status>& statuses;  // /proc/PID/task/TID/status of every thread, read before plan()

  img::core_entry& core(std::size_t thread = 0) { return cores.at(thread); }
  img::crx_thread_entry& extra_thread(std::size_t thread) { return *extra.mutable_threads(static_cast<int>(thread)); }
  // Returns the thread in a ptrace stop, for questions that only ptrace can answer. Cheap in plan(); in collect() the
  // thread has to leave the stub for it.
  TracedThread& stopped_thread(std::size_t thread) {
    task.remote(thread).leave();
    return task.threads()[thread].traced;
  }
};

// The remote calls of all collectors, made together: one batch for the leader and one for every thread (the leader has
// both). A collector remembers the indexes that add() returns.
struct BatchPlan {
  RemoteBatch leader;               // for the process as a whole; capacity kLeaderCalls
  std::deque<RemoteBatch> threads;  // per thread; capacity kThreadCalls
  static constexpr std::size_t kLeaderCalls = 512;
  static constexpr std::size_t kThreadCalls = 28;
};

// One resource kind. An object serves one task in one stop of a tree; its members carry state from plan() to collect().
// If serves_all() returns true, one object serves all tasks; its members then carry state from task to task, but not
// from plan() to collect().
// Order of calls, while the tree runs (preflight): inspect() for every task, then inspect_tree(), on objects of their
// own.
// Order of calls, in the stop: plan() of all kinds, task by task; the batches of all tasks at once; collect() of all
// kinds, task by task; collect_tree() of all kinds, on the root's objects.
// A collector reports a resource that cannot move in inspect(), and throws the same finding as Error(refused) in
// collect() if it appears only there. Every call must leave the tasks unchanged, so that the victim runs on unharmed.
class Collector {
 public:
  virtual ~Collector() = default;
  // The name of the kind, for logs.
  virtual const char* name() const = 0;
  virtual bool serves_all() const { return false; }
  virtual void inspect(InspectContext&) {}
  virtual void plan(CollectContext&, BatchPlan&) {}
  virtual void collect(CollectContext&, const BatchPlan&) {}
  // For what the tasks of the tree share; called in the root's context.
  virtual void inspect_tree(InspectContext&) {}
  virtual void collect_tree(CollectContext&) {}
};

// Makes one collector per kind, in the order in which they collect (registry.cpp).
std::vector<std::unique_ptr<Collector>> make_collectors();

// Runs all collectors over a frozen tree with injected arenas. Appends to `images`: inventory, pstree, core-*, ids, fs,
// fdinfo, files, ... and a crx-task-PID.img for every task. Leaves the threads in the stub or stopped, with unchanged
// registers. Throws Error(refused) that names what cannot move. `clock`, if given, notes the time of each step.
void collect_tree(FrozenTree& tree, FileTable& files, const CollectOptions& options, ImageSink& images,
                  StepClock* clock = nullptr);
// Preflight: lists what cannot move of the running tree below `root`; stops nothing (only a process with seccomp
// filters is stopped for a moment, to read them).
std::vector<Refusal> inspect_tree(pid_t root, const CollectOptions& options);

// Returns the ids that say which tasks share memory, descriptors, directories and signal handlers
// (task_kobj_ids_entry), in the order of tree.tasks(): two ids are equal where kcmp(2) says that the objects are the
// same.
std::vector<img::task_kobj_ids_entry> shared_ids(const FrozenTree& tree);

}  // namespace crx
