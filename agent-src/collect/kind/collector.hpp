// What every resource kind at the source implements: running tasks -> image messages.
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
class TcpBlock;

// What the user allowed or asked for, as far as collectors care.
struct CollectOptions {
  uint64_t ghost_limit_bytes = 1 << 20;
  bool with_files = false;
  bool ext_unix_sk = false;
  std::set<uint64_t> external_unix;  // inodes of sockets whose other end may be outside (--external unix[INODE])
  bool link_remap = false;
  bool file_locks = true;
  // Terminals whose other end is outside stay behind, and become those of whoever restores.
  bool shell_job = false;
  bool tcp_established = false;
  bool same_host =
      false;  // it comes back on this host, and so do (tcp_established) its connections to programs that stay here
  // The hosts have different kernels: files open for writing get a digest of their content in the images.
  bool digest_written_files = false;
  bool cgroups = true;                 // say which groups the tasks are in
  const CgroupHomes* homes = nullptr;  // what they were in before the session moved them; nullptr: it has not
  // Holds the packets of TCP connections back from their collection on; the session's. Without one they are held only
  // while they are read.
  TcpBlock* packets = nullptr;
};

// Something that cannot move. One line for the user: "object: reason; remedy".
struct Refusal {
  std::string object;  // "pid 12 fd 3 (socket:[4711])"
  std::string reason;
  std::string remedy;
};

// Looking at a running, untouched task from outside; nothing is stopped.
struct InspectContext {
  pid_t pid;
  const std::vector<TaskNode>& tree;  // who moves along, the root first
  std::string proc;                   // "/proc/PID/"
  const CollectOptions& options;
  std::vector<Refusal>& refusals;
};

// Shared by all collectors of one frozen task. A collector sets its own fields of the messages; they are written to
// the sink after the last one. Images of its own (fdinfo, pipes-data, ...) a collector appends itself.
struct CollectContext {
  FrozenTree& tree;
  FrozenTask& task;
  ImageSink& images;
  FileTable& files;
  const CollectOptions& options;
  std::vector<img::core_entry>& cores;        // one per thread, in the order of task.threads(); [0] has tc and ids
  img::crx_task_entry& extra;                 // has one `threads` entry per thread already, in the same order
  const std::vector<proc::Status>& statuses;  // /proc/PID/task/TID/status of every thread, read before plan()

  img::core_entry& core(std::size_t thread = 0) { return cores.at(thread); }
  img::crx_thread_entry& extra_thread(std::size_t thread) { return *extra.mutable_threads(static_cast<int>(thread)); }
  // The thread in a ptrace stop, for what only ptrace can ask. Cheap in plan(); in collect() the thread has to leave
  // the stub for it.
  TracedThread& stopped_thread(std::size_t thread) {
    task.remote(thread).leave();
    return task.threads()[thread].traced;
  }
};

// Remote calls of all collectors, made together: one batch for the leader and one for every thread (the leader has
// both). A collector remembers the indexes that add() gives it.
struct BatchPlan {
  RemoteBatch leader;               // for the process as a whole; capacity kLeaderCalls
  std::deque<RemoteBatch> threads;  // per thread; capacity kThreadCalls
  static constexpr std::size_t kLeaderCalls = 512;
  static constexpr std::size_t kThreadCalls = 28;
};

// One resource kind. One object lives for one task in one freeze of a tree; members carry state from plan() to
// collect(). Where serves_all() holds it is one object for all tasks, and members carry state from task to task, but
// not from plan() to collect(). Order: inspect() of every task and inspect_tree() on objects of their own while the
// tree runs (preflight); then, frozen: plan() of all kinds, task by task; the batches of all tasks at once; collect()
// of all kinds, task by task; at last collect_tree() of all, on the root's objects. A kind that cannot move reports it
// in inspect() and throws the same as Error(refused) in collect() if it finds it only there. Everything must be
// read-only for the tasks (design: the victim runs on unharmed).
class Collector {
 public:
  virtual ~Collector() = default;
  virtual const char* name() const = 0;
  virtual bool serves_all() const { return false; }
  virtual void inspect(InspectContext&) {}
  virtual void plan(CollectContext&, BatchPlan&) {}
  virtual void collect(CollectContext&, const BatchPlan&) {}
  // What the tasks have together, in the root's context.
  virtual void inspect_tree(InspectContext&) {}
  virtual void collect_tree(CollectContext&) {}
};

// All kinds, in the order in which they collect (registry.cpp).
std::vector<std::unique_ptr<Collector>> make_collectors();

// Runs them all over a frozen, injected tree: fills `images` with inventory, pstree, core-*, ids, fs, fdinfo, files,
// ... and a crx-task-PID.img for every task. The threads are left in the stub or stopped; regs as before.
void collect_tree(FrozenTree& tree, FileTable& files, const CollectOptions& options, ImageSink& images,
                  StepClock* clock = nullptr);
// Preflight: what of the running tree cannot move.
std::vector<Refusal> inspect_tree(pid_t root, const CollectOptions& options);

// The ids under which the tasks of a tree share, or do not share, memory, descriptors, directories and signal handlers
// (task_kobj_ids_entry), in the order of tree.tasks(): equal where kcmp(2) says so.
std::vector<img::task_kobj_ids_entry> shared_ids(const FrozenTree& tree);

}  // namespace crx
