// Runs all collectors over a tree: the functions at the end of kind/collector.hpp.
#include "agent-src/collect/kind/collector.hpp"

#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <map>

#include "agent-src/collect/kind/registry.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/base/step_clock.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/inventory.pb.h"
#include "common/kernel/process/freezer_group.hpp"
#include "common/kernel/process/kcmp.hpp"
#include "common/kernel/process/time_namespace.hpp"
#include "common/proc/stat.hpp"
#include "common/proc/status.hpp"

namespace crx {
namespace {

constexpr int64_t kBatchDeadlineMs = 10'000;
constexpr int kLooks = 4;
constexpr unsigned kBetweenLooksUs = 30'000;

uint32_t as_u32(pid_t pid) {
  return static_cast<uint32_t>(pid);
}

// Namespaces do not move: the tasks' are the same as the collecting agent's, which equal ids in the inventory say.
void add_namespaces(img::task_kobj_ids_entry& ids) {
  ids.set_pid_ns_id(1);
  ids.set_net_ns_id(2);
  ids.set_ipc_ns_id(3);
  ids.set_uts_ns_id(4);
  ids.set_mnt_ns_id(5);
  ids.set_user_ns_id(6);
  ids.set_cgroup_ns_id(7);
}

// The messages of one task while collectors fill them.
struct TaskImages {
  FrozenTask& task;
  std::vector<img::core_entry> cores;
  img::crx_task_entry extra;
  std::vector<proc::Status> statuses;

  explicit TaskImages(FrozenTask& of, const img::task_kobj_ids_entry& ids) : task(of), cores(of.threads().size()) {
    extra.set_pid(as_u32(task.pid()));
    for (std::size_t i = 0; i < cores.size(); ++i) {
      const pid_t tid = task.threads()[i].tid();
      cores[i].set_mtype(img::core_entry::X86_64);
      extra.add_threads()->set_tid(as_u32(tid));
      statuses.push_back(proc::parse_status(read_file(task.proc() + "task/" + std::to_string(tid) + "/status")));
    }
    const proc::Stat stat = proc::parse_stat(read_file(task.proc() + "stat"));
    img::task_core_entry& tc = *cores.front().mutable_tc();
    tc.set_task_state(task.was_stopped() ? task_state::kStopped : task_state::kAlive);
    if (task.was_stopped()) tc.set_stop_signo(static_cast<uint32_t>(task.stop_signal()));
    tc.set_exit_code(0);
    tc.set_personality(0);
    tc.set_flags(stat.flags);
    tc.set_blk_sigset(task.leader().sigmask);
    tc.set_comm("");
    *cores.front().mutable_ids() = ids;
    extra.set_start_time_ticks(stat.starttime);
    extra.set_exit_signal(static_cast<uint32_t>(stat.exit_signal));
    const TaskClocks clocks = task_clocks(task.pid());
    extra.set_monotonic_ns(clocks.monotonic_ns);
    extra.set_boottime_ns(clocks.boottime_ns);
  }
};

void write_zombie(const TaskNode& member, ImageSink& images) {
  img::core_entry core;
  core.set_mtype(img::core_entry::X86_64);
  img::task_core_entry& tc = *core.mutable_tc();
  tc.set_task_state(task_state::kZombie);
  tc.set_exit_code(static_cast<uint32_t>(member.exit_code));
  tc.set_personality(0);
  tc.set_flags(0);
  tc.set_blk_sigset(0);
  tc.set_comm(member.comm);
  images.append(image_file::core(as_u32(member.pid)), core);
}

void write_tree(const FrozenTree& tree, const std::vector<img::task_kobj_ids_entry>& ids, ImageSink& images) {
  std::size_t alive = 0;
  for (const TaskNode& member : tree.members()) {
    img::pstree_entry node;
    node.set_pid(as_u32(member.pid));
    node.set_ppid(&member == &tree.members().front() ? 0 : as_u32(member.ppid));
    node.set_pgid(as_u32(member.pgid));
    node.set_sid(as_u32(member.sid));
    if (member.dead) {
      node.add_threads(as_u32(member.pid));
      write_zombie(member, images);
    } else {
      for (const FrozenThread& thread : tree.tasks()[alive]->threads()) node.add_threads(as_u32(thread.tid()));
      images.append(image_file::ids(as_u32(member.pid)), ids[alive]);
      ++alive;
    }
    images.append(image_file::kPstree, node);
  }
  img::inventory_entry inventory;
  inventory.set_img_version(kImageVersion);
  inventory.set_fdinfo_per_id(true);
  *inventory.mutable_root_ids() = ids.front();
  inventory.set_ns_per_id(true);
  inventory.set_lsmtype(img::NO_LSM);
  inventory.set_dump_uptime(static_cast<uint64_t>(clock_ns(CLOCK_BOOTTIME) / 1000));
  images.append(image_file::kInventory, inventory);
}

// The remote calls of one task: first the leader's own batch, then one batch for each thread. They are started and
// finished in separate steps, so that all tasks run theirs at the same time.
class TaskBatches {
 public:
  explicit TaskBatches(FrozenTask& task)
      : task_(task), scratch_(task.arena()), plan_{RemoteBatch(task.arena(), BatchPlan::kLeaderCalls), {}} {
    for (std::size_t i = 0; i < task.threads().size(); ++i)
      plan_.threads.emplace_back(task.arena(), BatchPlan::kThreadCalls);
    brk_ = plan_.leader.add("asking for the program break", SYS_brk, 0);
  }

  BatchPlan& plan() { return plan_; }
  void start() { task_.remote(0).start(plan_.leader); }
  void go_on() {
    task_.remote(0).finish(Deadline::in_ms(kBatchDeadlineMs));
    for (std::size_t i = 0; i < plan_.threads.size(); ++i) {
      if (plan_.threads[i].size() > 0) task_.remote(i).start(plan_.threads[i]);
    }
  }
  void finish() {
    const Deadline deadline = Deadline::in_ms(kBatchDeadlineMs);
    for (std::size_t i = 0; i < plan_.threads.size(); ++i) {
      if (plan_.threads[i].size() > 0) task_.remote(i).finish(deadline);
    }
    plan_.leader.check_all();
    for (const RemoteBatch& batch : plan_.threads) batch.check_all();
    task_.set_program_break(static_cast<uint64_t>(plan_.leader.result(brk_)));
  }

 private:
  FrozenTask& task_;
  ArenaScope scratch_;
  BatchPlan plan_;
  std::size_t brk_ = 0;
};

// The collectors of each task; those that serve all tasks belong to the root.
class CollectorSets {
 public:
  explicit CollectorSets(std::size_t tasks) {
    for (std::size_t i = 0; i < tasks; ++i) sets_.push_back(make_collectors());
  }
  const std::vector<CollectorPtr>& root() const { return sets_.front(); }
  template <typename Visit>
  void visit(std::size_t task, Visit visit) const {
    for (std::size_t kind = 0; kind < root().size(); ++kind) {
      visit(*(root()[kind]->serves_all() ? root() : sets_[task])[kind]);
    }
  }

 private:
  std::vector<std::vector<CollectorPtr>> sets_;
};

}  // namespace

std::vector<img::task_kobj_ids_entry> shared_ids(const FrozenTree& tree) {
  std::vector<img::task_kobj_ids_entry> ids;
  for (const auto& task : tree.tasks()) {
    const auto member = std::find_if(tree.members().begin(), tree.members().end(),
                                     [&](const TaskNode& m) { return m.pid == task->pid(); });
    if (member == tree.members().end())
      throw Error(ErrorCode::bug, "collecting the tree", "a stopped process is not in it").with_pid(task->pid());
    img::task_kobj_ids_entry& entry = ids.emplace_back();
    entry.set_vm_id(member->groups[0]);
    entry.set_files_id(member->groups[1]);
    entry.set_fs_id(member->groups[2]);
    entry.set_sighand_id(member->groups[3]);
    add_namespaces(entry);
  }
  return ids;
}

void collect_tree(FrozenTree& tree, FileTable& files, const CollectOptions& options, ImageSink& images,
                  StepClock* clock) {
  const auto lap = [clock](const char* name) {
    if (clock != nullptr) clock->lap(name);
  };
  const std::vector<img::task_kobj_ids_entry> ids = shared_ids(tree);
  const CollectorSets collectors(ids.size());
  std::vector<TaskImages> tasks;
  for (std::size_t i = 0; i < ids.size(); ++i) tasks.emplace_back(*tree.tasks()[i], ids[i]);
  const auto context_of = [&](TaskImages& t) {
    return CollectContext{tree, t.task, images, files, options, t.cores, t.extra, t.statuses};
  };
  lap("statuses");
  std::deque<TaskBatches> task_batches;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    CollectContext context = context_of(tasks[i]);
    TaskBatches& asked = task_batches.emplace_back(tasks[i].task);
    collectors.visit(i, [&](Collector& kind) { kind.plan(context, asked.plan()); });
    asked.start();
  }
  lap("plan");
  for (TaskBatches& asked : task_batches) asked.go_on();
  for (TaskBatches& asked : task_batches) asked.finish();
  lap("batches");
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    CollectContext context = context_of(tasks[i]);
    collectors.visit(i, [&](Collector& kind) { kind.collect(context, task_batches[i].plan()); });
  }
  task_batches.clear();  // the arenas are free again
  lap("tasks");
  CollectContext root = context_of(tasks.front());
  for (const auto& collector : collectors.root()) {
    const int64_t began_ns = monotonic_ns();
    collector->collect_tree(root);
    log::debug("collecting {}: {} us", collector->name(), (monotonic_ns() - began_ns) / 1000);
  }
  write_tree(tree, ids, images);
  for (const TaskImages& t : tasks) {
    for (std::size_t i = 0; i < t.cores.size(); ++i) {
      images.append(image_file::core(as_u32(t.task.threads()[i].tid())), t.cores[i]);
    }
    images.append(image_file::crx_task(as_u32(t.task.pid())), t.extra);
  }
  lap("tree");
}

namespace {

// A process in a frozen group makes no system call for us, so this must be known before any other look.
std::vector<Refusal> inspect_freezers(const std::vector<TaskNode>& tree) {
  for (const TaskNode& task : tree) {
    const std::vector<std::string> groups = task.dead ? std::vector<std::string>() : find_frozen_groups(task.pid);
    if (groups.empty()) continue;
    const std::string& group = groups.front();
    const bool is_ours = group.ends_with("-src") && group.find("/crx-") != std::string::npos;
    return {{fmt::format("pid {}", task.pid), fmt::format("is in the frozen control group {}", group),
             is_ours ? "it is the original of an unfinished session, see crx-migrate --list"
                     : "thaw that first (unpause the container), or use --thaw"}};
  }
  return {};
}

// Reports a fault of the tree as a whole; if there is one, inspecting single tasks adds nothing. Empty if there is
// none.
std::vector<Refusal> inspect_root(const std::vector<TaskNode>& tree) {
  const std::string object = "pid " + std::to_string(tree.front().pid);
  if (holds_caller(tree)) {
    return {{object, "crx itself is below it (pid " + std::to_string(::getpid()) + ")",
             "run crx from outside of the tree (another login, systemd-run), or choose a process further down"}};
  }
  if (proc::parse_status(read_file("/proc/" + std::to_string(tree.front().pid) + "/status")).kernel_thread) {
    return {{object, "is a kernel thread", "choose a process"}};
  }
  return inspect_freezers(tree);
}

std::vector<Refusal> inspect_once(const std::vector<TaskNode>& tree, const CollectOptions& options) {
  std::vector<Refusal> refusals = inspect_root(tree);
  if (!refusals.empty()) return refusals;
  const pid_t root = tree.front().pid;
  const auto collectors = make_collectors();
  const auto look = [&](const TaskNode& task, auto inspect) {
    InspectContext context{task.pid, tree, "/proc/" + std::to_string(task.pid) + "/", options, refusals};
    try {
      for (const auto& collector : collectors) inspect(*collector, context);
    } catch (const Error& error) {
      if (task.pid == root && !refusals.empty()) return;  // the fault of the root itself is already reported
      if (task.pid == root || (error.code() != ErrorCode::victim_gone && !has_ended(task))) throw;
    }
  };
  for (const TaskNode& task : tree) {
    if (!task.dead || task.pid == root) look(task, [](Collector& c, InspectContext& context) { c.inspect(context); });
  }
  look(tree.front(), [](Collector& c, InspectContext& context) { c.inspect_tree(context); });
  return refusals;
}

}  // namespace

// A running tree may change between two looks, which then contradict each other. A finding counts only if it is there
// every time.
std::vector<Refusal> inspect_tree(const TreeSnapshot& tree, const CollectOptions& options) {
  TreeSnapshot now = tree;
  for (int looks = 1;; ++looks) {
    std::vector<Refusal> refusals = inspect_once(now.tasks, options);
    if (refusals.empty() || now.tasks.size() == 1 || holds_caller(now.tasks) || looks == kLooks) return refusals;
    ::usleep(kBetweenLooksUs);
    now = list_tree(tree.tasks.front().pid);
  }
}

}  // namespace crx
