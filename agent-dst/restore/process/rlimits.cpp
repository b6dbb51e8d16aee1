// Resource limits. The task itself sets them, after everything that needs descriptors or memory. Without the privilege
// to raise limits a process keeps the agent's limit where its own is higher, and a warning says so.
#include <sys/resource.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <string>

#include "agent-dst/restore/kind/registry.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/proc/status.hpp"

namespace crx {
namespace {

constexpr int kLimits = 16;
constexpr uint64_t kCapSysResource = uint64_t{1} << 24;
constexpr std::array<const char*, kLimits> kNames = {
    "CPU time",      "file size",     "data size",         "stack size",      "core file size", "resident set",
    "processes",     "open files",    "locked memory",     "address space",   "file locks",     "pending signals",
    "msgqueue size", "nice priority", "realtime priority", "realtime timeout"};

class Rlimits final : public Restorer {
 public:
  const char* name() const override { return "resource limits"; }

  void prepare(RestoreContext& context) override {
    const auto& limits = context.cores.front().tc().rlimits();
    const auto status = proc::parse_status(read_file("/proc/" + std::to_string(context.pid) + "/status"));
    may_raise_ = (status.cap_effective & kCapSysResource) != 0;
    for (int i = 0; i < kLimits; ++i) {
      const auto resource = static_cast<__rlimit_resource>(i);
      if (::prlimit(context.pid, resource, nullptr, &have_[index(i)]) < 0)
        throw_errno("reading resource limits", kNames[index(i)]);
      want_[index(i)] = have_[index(i)];
      if (i >= limits.rlimits_size()) continue;
      rlimit& want = want_[index(i)];
      want = {limits.rlimits(i).cur(), limits.rlimits(i).max()};
      if (want.rlim_max <= have_[index(i)].rlim_max || may_raise_) continue;
      log::warn("process {}: the limit on {} stays at {} (it was {}): CAP_SYS_RESOURCE is missing here", context.pid,
                kNames[index(i)], have_[index(i)].rlim_max, want.rlim_max);
      want.rlim_max = have_[index(i)].rlim_max;
      want.rlim_cur = std::min(want.rlim_cur, want.rlim_max);
    }
  }

  // Allows descriptors with high numbers.
  void plan_process(RestoreContext& context, RemoteBatch& leader) override {
    rlimit files = have_[RLIMIT_NOFILE];
    files.rlim_max = std::max(files.rlim_max, want_[RLIMIT_NOFILE].rlim_max);
    files.rlim_cur = files.rlim_max;
    leader.add("raising the limit on open files", SYS_prlimit64, 0, RLIMIT_NOFILE,
               context.vessel.arena().put_object(files), 0);
  }

  void plan_last(RestoreContext& context, std::size_t thread, RemoteBatch& batch) override {
    if (thread != 0) return;
    for (int i = 0; i < kLimits; ++i) {
      batch.add("setting a resource limit", SYS_prlimit64, 0, i, context.vessel.arena().put_object(want_[index(i)]), 0);
    }
  }

 private:
  static std::size_t index(int i) { return static_cast<std::size_t>(i); }
  std::array<rlimit, kLimits> have_{}, want_{};
  bool may_raise_ = false;
};

}  // namespace

RestorerPtr make_rlimits_restorer() {
  return std::make_unique<Rlimits>();
}

}  // namespace crx
