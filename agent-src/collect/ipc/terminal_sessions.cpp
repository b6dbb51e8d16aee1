// The controlling terminal of a task: it must be one that moves along (tty-info.img then records it).
#include <fmt/format.h>
#include <sys/sysmacros.h>

#include <optional>

#include "agent-src/collect/kind/registry.hpp"
#include "agent-src/collect/kind/tree_members.hpp"
#include "agent-src/tree/terminals.hpp"
#include "common/base/error.hpp"
#include "common/proc/stat.hpp"

namespace crx {
namespace {

class TerminalSessions final : public Collector {
 public:
  const char* name() const override { return "controlling terminals"; }

  void inspect(InspectContext& context) override {
    if (context.options.shell_job) return;
    if (auto problem = problem_of(context.pid, tree_members_of(context)))
      context.refusals.push_back(std::move(*problem));
  }

  void collect(CollectContext& context, const BatchPlan&) override {
    if (context.options.shell_job) return;
    const auto problem = problem_of(context.task.pid(), tree_members_of(context));
    if (!problem) return;
    throw Error(ErrorCode::refused, "collecting terminals", problem->object + ": " + problem->reason)
        .with_pid(context.task.pid())
        .with_hint(problem->remedy);
  }

 private:
  static std::optional<Refusal> problem_of(pid_t pid, const std::vector<pid_t>& tree) {
    const proc::Stat stat = proc::parse_stat(read_file(fmt::format("/proc/{}/stat", pid)));
    if (stat.tty_nr == 0 || stat.state == 'Z') return std::nullopt;
    const dev_t device = terminal_device(stat.tty_nr);
    const Terminal terminal = terminal_of(device);
    const std::string object = fmt::format("pid {} ({})", pid, stat.comm);
    if (terminal.kind != TerminalKind::slave) {
      return Refusal{
          object,
          fmt::format("its controlling terminal is device {}:{}, which stays here", ::major(device), ::minor(device)),
          "start it with setsid"};
    }
    for (const pid_t member : tree) {
      if (has_master(member, terminal.index)) return std::nullopt;
    }
    return Refusal{object,
                   fmt::format("its controlling terminal is /dev/pts/{}, whose other end is outside, {}",
                               terminal.index, describe_master_holder(terminal.index)),
                   "start it with setsid, or " + std::string(kShellJobRemedy)};
  }
};

}  // namespace

CollectorPtr make_terminal_sessions_collector() {
  return std::make_unique<TerminalSessions>();
}

}  // namespace crx
