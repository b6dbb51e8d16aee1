// The systemd unit that would start a program again when its original ends here.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent-src/tool/migrate_options.hpp"
#include "agent-src/tree/process_tree.hpp"

namespace crx {

struct SystemdUnit {
  std::string name;   // "redis.service"
  bool user = false;  // of a user's manager
  pid_t main_pid = 0;
  std::string restart;  // Restart=: "no", "always", "on-failure", ...
};

// The innermost unit of a cgroup path: "/system.slice/a.service/b" gives a.service; nothing outside of services. user:
// it belongs to the manager of a user (below user@UID.service).
std::optional<SystemdUnit> unit_of_path(std::string_view cgroup_path);
// Fills in what `systemctl show -p MainPID -p Restart` printed.
void read_properties(std::string_view text, SystemdUnit& unit);

// The unit of which a process of the tree is the main process and which restarts it (Restart= other than no). Asks
// systemctl, if there is one that answers: nobody restarts anything where there is none. Takes some milliseconds.
std::optional<SystemdUnit> find_restarting_unit(const std::vector<TaskNode>& tree);

// What is said where the user has not said what should become of it: reason and remedy.
std::string restart_reason(const SystemdUnit& unit);
extern const char kRestartRemedy[];

// Has the unit stopped, and waits, at most some seconds, until its manager counts it as such. To be called while the
// original is frozen for good: its end is what was asked for, then. Failing is logged.
void stop_unit(const SystemdUnit& unit) noexcept;

}  // namespace crx
