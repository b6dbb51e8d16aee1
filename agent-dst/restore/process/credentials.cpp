// Credentials of every thread. The vessel starts with the agent's privileges; in the last calls of its threads it gives
// up those that the images do not have.
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <string>
#include <vector>

#include "agent-dst/policy/policy.hpp"
#include "agent-dst/restore/kind/registry.hpp"
#include "agent-dst/restore/process/task_credentials.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/proc/status.hpp"

namespace crx {
namespace {

struct CapHeader {
  uint32_t version = _LINUX_CAPABILITY_VERSION_3;
  int32_t pid = 0;
};
struct CapSets {
  uint32_t effective_low, permitted_low, inheritable_low;
  uint32_t effective_high, permitted_high, inheritable_high;
};

struct Sets {
  uint64_t inheritable = 0, permitted = 0, effective = 0, bounding = 0, ambient = 0;
};

Sets sets_of(const TaskCredentials& all) {
  return {all.inheritable, all.permitted, all.effective, all.bounding, all.ambient};
}

class Credentials final : public Restorer {
 public:
  const char* name() const override { return "credentials"; }

  void prepare(RestoreContext& context) override {
    const auto status = proc::parse_status(read_file("/proc/" + std::to_string(context.pid) + "/status"));
    ours_ = {status.cap_inheritable, status.cap_permitted, status.cap_effective, status.cap_bounding,
             status.cap_ambient};
    for (const img::core_entry& core : context.cores) check(core, context.pid, context.policy);
  }

  // Capabilities that no thread keeps are dropped before threads exist: they inherit that, and each saves dozens of
  // calls.
  void plan_process(RestoreContext& context, RemoteBatch& leader) override {
    uint64_t inheritable = 0, bounding = 0;
    for (const img::core_entry& core : context.cores) {
      const Sets sets = sets_of(task_credentials(core, context.pid));
      inheritable |= sets.inheritable;
      bounding |= sets.bounding;
    }
    Sets all = ours_;
    all.inheritable = inheritable & ours_.permitted;
    all.effective = ours_.permitted;
    plan_capset(context.vessel.arena(), leader, all);
    plan_bounding(leader, ours_.bounding & ~bounding);
    left_bounding_ = ours_.bounding & bounding;
  }

  void plan_last(RestoreContext& context, std::size_t thread, RemoteBatch& batch) override {
    const img::core_entry& core = context.cores[thread];
    const img::crx_thread_entry& extra = context.extra.threads(static_cast<int>(thread));
    RemoteArena& arena = context.vessel.arena();
    plan_creds(arena, batch, core.thread_core().creds(), sets_of(task_credentials(core, context.pid)));
    if (core.thread_core().creds().no_new_privs() != 0 || extra.no_new_privs()) {
      batch.add("setting no_new_privs", SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    }
    // Changing ids has cleared it.
    const uint32_t death_signal = extra.has_pdeathsig() ? extra.pdeathsig() : core.thread_core().pdeath_sig();
    batch.add("setting the parent-death signal", SYS_prctl, PR_SET_PDEATHSIG, death_signal);
  }

  // Runs after every thread has changed its ids, since each change resets the flag.
  void finish(RestoreContext& context) override {
    if (!context.extra.has_dumpable() || context.extra.dumpable() > 1) return;
    context.vessel.call("setting dumpable", SYS_prctl, PR_SET_DUMPABLE, context.extra.dumpable(), 0, 0, 0);
  }

 private:
  void check(const img::core_entry& core, pid_t pid, const Policy& policy) const {
    const TaskCredentials credentials = task_credentials(core, pid);
    policy.check(credentials, pid);
    const Sets sets = sets_of(credentials);
    const uint64_t missing = (sets.permitted & ~ours_.permitted) | (sets.bounding & ~ours_.bounding);
    if (missing == 0) return;
    throw Error(ErrorCode::refused, "restoring credentials",
                fmt::format("the process has capabilities that the agent cannot give (mask {:#x})", missing))
        .with_pid(pid)
        .with_hint("run the destination's agent with these capabilities");
  }

  static void plan_capset(RemoteArena& arena, RemoteBatch& batch, const Sets& sets) {
    const auto low = [](uint64_t set) { return static_cast<uint32_t>(set); };
    const auto high = [](uint64_t set) { return static_cast<uint32_t>(set >> 32); };
    const CapSets value{low(sets.effective),  low(sets.permitted),  low(sets.inheritable),
                        high(sets.effective), high(sets.permitted), high(sets.inheritable)};
    batch.add("setting capabilities", SYS_capset, arena.put_object(CapHeader{}), arena.put_object(value));
  }

  static void plan_bounding(RemoteBatch& batch, uint64_t drop) {
    for (unsigned cap = 0; cap < 64; ++cap) {
      if ((drop >> cap & 1) != 0) batch.add("dropping a bounding capability", SYS_prctl, PR_CAPBSET_DROP, cap, 0, 0, 0);
    }
  }

  void plan_creds(RemoteArena& arena, RemoteBatch& batch, const img::creds_entry& creds, const Sets& want) const {
    std::vector<uint32_t> groups(creds.groups().begin(), creds.groups().end());
    const RemotePtr<> list = groups.empty() ? RemotePtr<>() : arena.put(std::as_bytes(std::span(groups)));
    batch.add("setting groups", SYS_setgroups, groups.size(), list);
    // The ids change without affecting capabilities, which are set exactly afterwards.
    batch.add("preparing securebits", SYS_prctl, PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS, 0, 0, 0);
    batch.add("setting group ids", SYS_setresgid, creds.gid(), creds.egid(), creds.sgid());
    batch.add("setting user ids", SYS_setresuid, creds.uid(), creds.euid(), creds.suid());
    batch.add("setting the filesystem group id", SYS_setfsgid, creds.fsgid());
    batch.add("setting the filesystem user id", SYS_setfsuid, creds.fsuid());
    plan_bounding(batch, left_bounding_ & ~want.bounding);
    batch.add("clearing ambient capabilities", SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (want.ambient != 0) {
      Sets wide = ours_;
      wide.inheritable = want.inheritable;
      wide.effective = ours_.permitted;
      plan_capset(arena, batch, wide);
      for (unsigned cap = 0; cap < 64; ++cap) {
        if ((want.ambient >> cap & 1) == 0) continue;
        batch.add("raising an ambient capability", SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
      }
    }
    batch.add("setting securebits", SYS_prctl, PR_SET_SECUREBITS, creds.secbits(), 0, 0, 0);
    plan_capset(arena, batch, want);
  }

  Sets ours_;
  uint64_t left_bounding_ = ~0ULL;
};

}  // namespace

RestorerPtr make_credentials_restorer() {
  return std::make_unique<Credentials>();
}

}  // namespace crx
