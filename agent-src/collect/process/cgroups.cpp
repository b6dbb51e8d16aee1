#include "agent-src/collect/process/cgroups.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <optional>
#include <string_view>
#include <vector>

#include "agent-src/collect/kind/registry.hpp"
#include "common/base/error.hpp"
#include "common/proc/cgroup.hpp"
#include "common/proc/proc_dir.hpp"

namespace crx {
namespace {

std::string_view last_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

bool is_login_session(std::string_view name) {
  return name.starts_with("session-") && name.ends_with(".scope");
}

bool is_worth_making(std::string_view path) {
  const std::string_view name = last_name(path);
  return !name.empty() && !name.starts_with("crx-") && !is_login_session(name) && proc::is_plain_cgroup_path(path);
}

// The migration's own group (FreezerGroup) is a child of the tree's group.
std::string without_session(const std::string& path) {
  const std::string_view name = last_name(path);
  if (!name.starts_with("crx-") || !name.ends_with("-src")) return path;
  const auto slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string read_homes(pid_t pid) {
  const std::optional<ProcDir> process = ProcDir::open(pid);
  std::vector<proc::CgroupEntry> homes =
      process ? process->cgroups().value_or(std::vector<proc::CgroupEntry>()) : std::vector<proc::CgroupEntry>();
  std::erase_if(homes, [](proc::CgroupEntry& home) {
    if (home.deleted || home.is_outside()) return true;
    home.path = without_session(home.path);
    return !is_worth_making(home.path);
  });
  return proc::format_cgroup(homes);
}

class Cgroups final : public Collector {
 public:
  const char* name() const override { return "cgroups"; }
  void collect(CollectContext& context, const BatchPlan&) override {
    if (!context.options.cgroups) return;
    const CgroupHomes* known = context.options.homes;
    const pid_t pid = context.task.pid();
    if (const std::string text = known == nullptr ? read_homes(pid) : known->text_of(pid); !text.empty()) {
      context.extra.set_cgroup(text);
    }
  }
};

}  // namespace

void CgroupHomes::note(pid_t pid) {
  if (!known_.contains(pid)) known_[pid] = read_homes(pid);
}

std::string CgroupHomes::text_of(pid_t pid) const {
  const auto found = known_.find(pid);
  return found == known_.end() ? read_homes(pid) : found->second;
}

CollectorPtr make_cgroups_collector() {
  return std::make_unique<Cgroups>();
}

}  // namespace crx
