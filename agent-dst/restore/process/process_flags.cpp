// Settings of the process. The vessel starts with the agent's, so each is set, also if it is "off".
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>

#include "agent-dst/restore/kind/registry.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/prctl_uapi.hpp"
#include "common/proc/text.hpp"

namespace crx {
namespace {

class ProcessFlags final : public Restorer {
 public:
  const char* name() const override { return "process flags"; }

  void prepare(RestoreContext& context) override {
    const img::task_core_entry& tc = context.cores.front().tc();
    if (tc.has_loginuid()) set_loginuid(context, tc.loginuid());
  }

  void plan_process(RestoreContext& context, RemoteBatch& leader) override {
    const img::task_core_entry& tc = context.cores.front().tc();
    const img::crx_task_entry& extra = context.extra;
    const bool subreaper = extra.has_child_subreaper() ? extra.child_subreaper() : tc.child_subreaper();
    leader.add("setting the subreaper flag", SYS_prctl, PR_SET_CHILD_SUBREAPER, subreaper ? 1 : 0, 0, 0, 0);
    const uint32_t membarrier =
        extra.has_membarrier_mask() ? extra.membarrier_mask() : tc.membarrier_registration_mask();
    for (uint32_t bit = 0; bit < 32; ++bit) {
      if ((membarrier >> bit & 1) == 0) continue;
      leader.add("registering for membarrier", SYS_membarrier, 1U << bit, 0, 0);
    }
    const uint32_t thp = extra.thp_disable();
    leader.add_optional("setting THP-disable", SYS_prctl, uapi::kSetThpDisable, thp != 0 ? 1 : 0,
                        thp & uapi::kThpExceptAdvised, 0, 0);
    if (extra.memory_merge() != 0) {
      leader.add("setting memory merge", SYS_prctl, uapi::kSetMemoryMerge, extra.memory_merge(), 0, 0, 0);
    }
    plan_permissions(extra, leader);
  }

  // Set in every thread, since the personality is a thread's own. READ_IMPLIES_EXEC and MDWE must not be in force while
  // memory is mapped.
  void plan_last(RestoreContext& context, std::size_t thread, RemoteBatch& batch) override {
    const img::task_core_entry& tc = context.cores.front().tc();
    batch.add("setting the personality", SYS_personality,
              context.extra.has_personality() ? context.extra.personality() : tc.personality());
    if (thread == 0 && context.extra.mdwe() != 0) {
      batch.add("setting MDWE", SYS_prctl, uapi::kSetMdwe, context.extra.mdwe(), 0, 0, 0);
    }
  }

  void finish(RestoreContext& context) override {
    const std::string proc = "/proc/" + std::to_string(context.pid) + "/";
    const img::task_core_entry& tc = context.cores.front().tc();
    const int32_t oom = context.extra.has_oom_score_adj() ? context.extra.oom_score_adj() : tc.oom_score_adj();
    if (proc::parse_signed_value("oom_score_adj", read_file(proc + "oom_score_adj")) != oom) {
      write_or_warn(context.pid, proc + "oom_score_adj", std::to_string(oom));
    }
    if (context.extra.has_coredump_filter()) {
      write_or_warn(context.pid, proc + "coredump_filter", fmt::format("{:#x}", context.extra.coredump_filter()));
    }
    if (context.extra.has_autogroup_nice()) set_autogroup_nice(context.pid, context.extra.autogroup_nice());
  }

 private:
  // Sets the autogroup's nice value, which belongs to the posix session (sched(7)), unless that is our session; this
  // kernel may have no autogroups.
  static void set_autogroup_nice(pid_t pid, int32_t nice) {
    const std::string path = fmt::format("/proc/{}/autogroup", pid);
    const Fd file = ::getsid(pid) != ::getsid(0) ? try_open(path, O_RDONLY) : Fd();
    const auto now = file ? proc::autogroup_nice(read_fd(file.get(), path)) : std::nullopt;
    if (now && *now != nice) write_or_warn(pid, path, std::to_string(nice));
  }

  // Only the task itself can set its login uid; threads inherit it (kernel: fs/proc/base.c, proc_loginuid_write).
  static void set_loginuid(RestoreContext& context, uint32_t uid) {
    const std::string path = fmt::format("/proc/{}/loginuid", context.pid), text = std::to_string(uid);
    const Fd now = try_open(path, O_RDONLY);
    if (!now || read_fd(now.get(), path) == text) return;
    const Fd file = try_open(path, O_WRONLY);
    if (!file) return log::warn("process {}: cannot set its login uid here: {}", context.pid, std::strerror(errno));
    const ArenaScope scratch(context.vessel.arena());
    RemoteBatch batch = context.vessel.batch(2);
    const std::size_t number = context.vessel.descriptors().plan_borrow(batch, file.get());
    const std::size_t written =
        batch.add_optional("setting the login uid", SYS_write, 0, context.vessel.arena().put_string(text), text.size());
    batch.store_result(number, batch.argument_addr(written, 0));
    context.vessel.run_checked(batch);
    if (batch.result(written) < 0) {
      log::warn("process {}: cannot set its login uid here: {}", context.pid,
                std::strerror(static_cast<int>(-batch.result(written))));
    }
    context.vessel.call("closing a file of /proc", SYS_close, batch.result(number));
  }

  // Requests permission for AMX tile data and later components, which a process must do before they can be loaded.
  static void plan_permissions(const img::crx_task_entry& extra, RemoteBatch& leader) {
    constexpr uint64_t kAskedFor = uint64_t{1} << 18;  // XTILEDATA
    for (unsigned component = 0; component < 64; ++component) {
      const uint64_t bit = uint64_t{1} << component;
      if ((extra.xcomp_permission() & kAskedFor & bit) == 0) continue;
      leader.add("asking for extended state", SYS_arch_prctl, uapi::kArchRequestXcompPermission, component);
    }
  }

  static void write_or_warn(pid_t pid, const std::string& path, const std::string& text) {
    const Fd file = try_open(path, O_WRONLY);
    if (file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size())) return;
    log::warn("process {}: cannot set {} to {} here: {}", pid, path, text, std::strerror(errno));
  }
};

}  // namespace

RestorerPtr make_process_flags_restorer() {
  return std::make_unique<ProcessFlags>();
}

}  // namespace crx
