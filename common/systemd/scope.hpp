// A systemd scope for processes that do not belong to the service that has made them: systemd.scope(5),
// org.freedesktop.systemd1(5).
#pragma once

#include <string>

namespace crx {

// Whether systemd is the init of this host: sd_booted(3).
bool systemd_runs() noexcept;

// Asks systemd over the system bus for a transient scope `name` ("crx-SESSION.scope") and moves all processes of the
// control group `group` (its directory) into it, also those that they fork meanwhile; then it removes the group. They
// may run. The calling process moves into the scope as well, and remains there: systemd starts no scope without a
// process, and takes PIDs of its own namespace only, while the processes may be in one of their own. So it must end
// before them or with them. Takes some milliseconds, a few seconds at most. Throws Error; the processes are in the one
// group or the other then.
void move_to_scope(const std::string& name, const std::string& description, const std::string& group);

}  // namespace crx
