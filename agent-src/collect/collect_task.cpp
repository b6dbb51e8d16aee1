#include <cstdint>
#include <string>
#include <vector>

#include "agent-src/collect/collector.hpp"
#include "agent-src/step_clock.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/image/inventory.pb.h"
#include "common/image/magic.hpp"
#include "common/kernel/time_namespace.hpp"
#include "common/proc/stat.hpp"
#include "common/proc/status.hpp"

namespace crx {
namespace {

constexpr int64_t kBatchDeadlineMs = 10'000;
constexpr uint32_t kOnlyId = 1;  // a tree of one process shares nothing

uint32_t as_u32(pid_t pid) { return static_cast<uint32_t>(pid); }

// Namespaces are not moved: the task's are the ones of whoever collects, which equal ids in the inventory say.
void fill_ids(img::task_kobj_ids_entry& ids) {
  ids.set_vm_id(kOnlyId);
  ids.set_files_id(kOnlyId);
  ids.set_fs_id(kOnlyId);
  ids.set_sighand_id(kOnlyId);
  ids.set_pid_ns_id(1);
  ids.set_net_ns_id(2);
  ids.set_ipc_ns_id(3);
  ids.set_uts_ns_id(4);
  ids.set_mnt_ns_id(5);
  ids.set_user_ns_id(6);
  ids.set_cgroup_ns_id(7);
}

void fill_process(FrozenTask& task, img::core_entry& leader, img::crx_task_entry& extra, ImageSink& images) {
  const proc::Stat stat = proc::parse_stat(read_file(task.proc() + "stat"));
  img::task_core_entry& tc = *leader.mutable_tc();
  tc.set_task_state(task_state::kAlive);
  tc.set_exit_code(0);
  tc.set_personality(0);
  tc.set_flags(stat.flags);
  tc.set_blk_sigset(task.leader().sigmask);
  tc.set_comm("");
  fill_ids(*leader.mutable_ids());
  extra.set_start_time_ticks(stat.starttime);
  extra.set_exit_signal(static_cast<uint32_t>(stat.exit_signal));

  img::pstree_entry node;
  node.set_pid(as_u32(task.pid()));
  node.set_ppid(0);
  node.set_pgid(as_u32(stat.pgrp));
  node.set_sid(as_u32(stat.session));
  for (const FrozenThread& thread : task.threads()) node.add_threads(as_u32(thread.tid()));
  images.append(image_file::kPstree, node);
  images.append(image_file::ids(as_u32(task.pid())), leader.ids());

  img::inventory_entry inventory;
  inventory.set_img_version(kImageVersion);
  inventory.set_fdinfo_per_id(true);
  *inventory.mutable_root_ids() = leader.ids();
  inventory.set_ns_per_id(true);
  inventory.set_lsmtype(img::NO_LSM);
  inventory.set_dump_uptime(static_cast<uint64_t>(clock_ns(CLOCK_BOOTTIME) / 1000));
  images.append(image_file::kInventory, inventory);
}

// All batches at once: the leader's own and one for each thread.
void run_batches(FrozenTask& task, const BatchPlan& plan) {
  if (plan.leader.size() > 0) task.remote(0).run(plan.leader);
  const Deadline deadline = Deadline::in_ms(kBatchDeadlineMs);
  for (std::size_t i = 0; i < plan.threads.size(); ++i) {
    if (plan.threads[i].size() > 0) task.remote(i).start(plan.threads[i]);
  }
  for (std::size_t i = 0; i < plan.threads.size(); ++i) {
    if (plan.threads[i].size() > 0) task.remote(i).finish(deadline);
  }
  plan.leader.check_all();
  for (const RemoteBatch& batch : plan.threads) batch.check_all();
}

}  // namespace

void collect_task(FrozenTask& task, FileTable& files, const CollectOptions& options, ImageSink& images,
                  StepClock* clock) {
  const auto lap = [clock](const char* name) {
    if (clock != nullptr) clock->lap(name);
  };
  std::vector<img::core_entry> cores(task.threads().size());
  img::crx_task_entry extra;
  extra.set_pid(as_u32(task.pid()));
  for (std::size_t i = 0; i < cores.size(); ++i) {
    cores[i].set_mtype(img::core_entry::X86_64);
    extra.add_threads()->set_tid(as_u32(task.threads()[i].tid()));
  }
  const TaskClocks clocks = task_clocks(task.pid());
  extra.set_monotonic_ns(clocks.monotonic_ns);
  extra.set_boottime_ns(clocks.boottime_ns);
  fill_process(task, cores.front(), extra, images);

  std::vector<proc::Status> statuses;
  for (const FrozenThread& thread : task.threads()) {
    statuses.push_back(proc::parse_status(read_file(task.proc() + "task/" + std::to_string(thread.tid()) + "/status")));
  }
  lap("statuses");
  const auto collectors = make_collectors();
  CollectContext context{task, images, files, options, cores, extra, statuses};
  BatchPlan plan{RemoteBatch(task.arena(), BatchPlan::kLeaderCalls), {}};
  for (std::size_t i = 0; i < cores.size(); ++i) plan.threads.emplace_back(task.arena(), BatchPlan::kThreadCalls);
  for (const auto& collector : collectors) collector->plan(context, plan);
  lap("plan");
  run_batches(task, plan);
  lap("calls");
  for (const auto& collector : collectors) {
    const int64_t began_ns = monotonic_ns();
    collector->collect(context, plan);
    log::debug("collecting {}: {} us", collector->name(), (monotonic_ns() - began_ns) / 1000);
  }

  for (std::size_t i = 0; i < cores.size(); ++i) {
    images.append(image_file::core(as_u32(task.threads()[i].tid())), cores[i]);
  }
  images.append(image_file::crx_task(as_u32(task.pid())), extra);
  lap("state");
}

std::vector<Refusal> inspect_task(pid_t pid, const CollectOptions& options) {
  std::vector<Refusal> refusals;
  InspectContext context{pid, "/proc/" + std::to_string(pid) + "/", options, refusals};
  for (const auto& collector : make_collectors()) collector->inspect(context);
  return refusals;
}

}  // namespace crx
