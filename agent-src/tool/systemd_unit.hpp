// Finds and stops the systemd unit that would start a program again when its original ends here.
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
  bool user = false;  // it belongs to a user's systemd
  pid_t main_pid = 0;
  std::string restart;  // Restart=: "no", "always", "on-failure", ...
};

// Returns the innermost unit of a cgroup path: "/system.slice/a.service/b" gives a.service; nothing outside of
// services. `user` is set if the unit belongs to a user's systemd (below user@UID.service).
std::optional<SystemdUnit> unit_of_path(std::string_view cgroup_path);
// Parses the output of `systemctl show -p MainPID -p Restart` into `unit`.
void read_properties(std::string_view text, SystemdUnit& unit);

// Returns the unit that restarts a process of the tree (it is the unit's main process, and Restart= is not "no"). Asks
// systemctl; nothing if that is missing or does not answer. Takes some milliseconds.
std::optional<SystemdUnit> find_restarting_unit(const std::vector<TaskNode>& tree);

// The reason and remedy of the refusal if the user has not chosen what to do with the unit.
std::string restart_reason(const SystemdUnit& unit);
extern const char kRestartRemedy[];

// Stops the unit and waits at most some seconds until systemd reports it as stopped. To be called while the original is
// frozen and will be killed. Failures are logged.
void stop_unit(const SystemdUnit& unit) noexcept;
// To be called when the original of a unit that stop_unit() has stopped has ended: waits at most some seconds until
// systemd has noticed that, and has it forget the failure. A main process that is killed counts as one, and monitoring
// would report a unit that has only moved. Failures are logged. systemctl(1) reset-failed.
void forget_failure(const SystemdUnit& unit) noexcept;

}  // namespace crx
