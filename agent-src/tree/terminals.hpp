// The kinds of terminals, and the processes that hold them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "agent-src/tree/open_file.hpp"

namespace crx {

enum class TerminalKind : uint8_t { master, slave, other };

struct Terminal {
  TerminalKind kind = TerminalKind::other;
  uint32_t index = 0;  // for a pseudo-terminal: /dev/pts/INDEX
  // Opened as /dev/tty or /dev/console, which lead to it.
  bool by_alias = false;
};

// Whether the device is a virtual console, serial line, /dev/tty or similar, or a pseudo-terminal
// (Documentation/admin-guide/devices.txt).
bool is_terminal(dev_t device);
// Returns the terminal that a description leads to. Works on running tasks, too.
Terminal terminal_of(const OpenFile& file);
Terminal terminal_of(dev_t device);
// Converts a device number of /proc/PID/stat (tty_nr).
dev_t terminal_device(int32_t tty_nr);

// Whether the process has the master of /dev/pts/INDEX open; false if the process is gone.
bool has_master(pid_t pid, uint32_t index);

// Returns "held by pid 12 (sshd)", for messages: the process that has the master of /dev/pts/INDEX open.
std::string describe_master_holder(uint32_t index);

inline constexpr std::string_view kShellJobRemedy =
    "move the program that holds the other end along, start it with its input and output redirected, or use "
    "--shell-job with "
    "crx-dump and crx-restore";

}  // namespace crx
