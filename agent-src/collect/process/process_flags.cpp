// Settings of the process: prctl(2) flags and the small files of /proc/PID.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <string>

#include "agent-src/collect/kind/registry.hpp"
#include "common/kernel/process/prctl_uapi.hpp"
#include "common/proc/text.hpp"

namespace crx {
namespace {

// Reads a file that not every kernel has; empty if it is missing.
std::string read_optional(const std::string& path) {
  const Fd file = try_open(path, O_RDONLY);
  return file ? read_fd(file.get(), path) : std::string();
}

class ProcessFlags final : public Collector {
 public:
  const char* name() const override { return "process flags"; }

  void plan(CollectContext& context, BatchPlan& plan) override {
    words_ = context.task.arena().allocate<uint64_t>(2);
    RemoteBatch& leader = plan.leader;
    leader.add("reading the subreaper flag", SYS_prctl, PR_GET_CHILD_SUBREAPER, words_.remote);
    personality_ = leader.add("reading the personality", SYS_personality, 0xffffffffU);
    membarrier_ = leader.add_optional("reading membarrier registrations", SYS_membarrier,
                                      uapi::kMembarrierGetRegistrations, 0, 0);
    thp_ = leader.add_optional("reading THP-disable", SYS_prctl, uapi::kGetThpDisable, 0, 0, 0, 0);
    mdwe_ = leader.add_optional("reading MDWE", SYS_prctl, uapi::kGetMdwe, 0, 0, 0, 0);
    merge_ = leader.add_optional("reading memory merge", SYS_prctl, uapi::kGetMemoryMerge, 0, 0, 0, 0);
    xcomp_ =
        leader.add_optional("reading state permissions", SYS_arch_prctl, uapi::kArchGetXcompPermission, words_.at(1));
  }

  void collect(CollectContext& context, const BatchPlan& plan) override {
    img::task_core_entry& tc = *context.core().mutable_tc();
    img::crx_task_entry& extra = context.extra;
    tc.set_child_subreaper(static_cast<uint32_t>(words_.local[0]) != 0);
    extra.set_child_subreaper(tc.child_subreaper());
    tc.set_personality(static_cast<uint32_t>(plan.leader.checked(personality_)));
    extra.set_personality(tc.personality());
    const auto value = [&](std::size_t index) {
      const int64_t result = plan.leader.result(index);
      return result > 0 ? static_cast<uint32_t>(result) : 0;
    };
    if (value(membarrier_) != 0) {
      tc.set_membarrier_registration_mask(value(membarrier_));
      extra.set_membarrier_mask(value(membarrier_));
    }
    extra.set_thp_disable(value(thp_));
    extra.set_mdwe(value(mdwe_));
    extra.set_memory_merge(value(merge_));
    if (plan.leader.result(xcomp_) == 0) extra.set_xcomp_permission(words_.local[1]);

    const std::string& proc = context.task.proc();
    const int64_t oom = proc::parse_signed_value("oom_score_adj", read_file(proc + "oom_score_adj"));
    tc.set_oom_score_adj(static_cast<int32_t>(oom));
    extra.set_oom_score_adj(static_cast<int32_t>(oom));
    const std::string filter = read_optional(proc + "coredump_filter");
    if (!filter.empty()) {
      extra.set_coredump_filter(static_cast<uint32_t>(proc::parse_hex_value("coredump_filter", filter)));
    }
    const std::string loginuid = read_optional(proc + "loginuid");
    if (!loginuid.empty()) tc.set_loginuid(static_cast<uint32_t>(std::stoul(loginuid)));
    if (const auto nice = proc::autogroup_nice(read_optional(proc + "autogroup"))) extra.set_autogroup_nice(*nice);
  }

 private:
  ArenaPiece<uint64_t> words_;  // the subreaper flag (an int), the permitted state components
  std::size_t personality_ = 0, membarrier_ = 0, thp_ = 0, mdwe_ = 0, merge_ = 0, xcomp_ = 0;
};

}  // namespace

CollectorPtr make_process_flags_collector() {
  return std::make_unique<ProcessFlags>();
}

}  // namespace crx
