// Log lines for systemd's journal, where stderr is connected to it: with their level, and with the session as a field,
// so that `journalctl CRX_SESSION=...` finds them. systemd.exec(5) $JOURNAL_STREAM, sd-daemon(3); the entries are those
// of systemd's "Native Journal Protocol". Written here and not with sd_journal_send(3), because that keeps a descriptor
// open across fork(2), whose number another file gets when a child closes all that it does not need.
#pragma once

#include <string>
#include <string_view>

namespace crx::log {

// Whether $JOURNAL_STREAM names the file that is our stderr.
bool stderr_is_journal() noexcept;

// The session that a line begins with ("session ID: ..."); empty: none.
std::string_view session_of(std::string_view line);

// An entry: one NAME=VALUE a line. priority: of syslog(3). session: empty for none. line: has no newline.
std::string journal_entry(int priority, std::string_view role, std::string_view session, std::string_view line);

// To be called after log::setup(): from now on lines go to the journal, if stderr is connected to it; nothing changes
// otherwise. The two below do nothing then, either.
void log_to_journal();
// The session that all lines of this process belong to, but those that name another one.
void set_session(const std::string& session);
// From now on lines go to stderr, with "<PRIORITY>" before them, which the journal knows as well, and without a
// session: for a process that is about to lose the right to make sockets.
void stay_on_stderr();

}  // namespace crx::log
