// What kinds of terminal there are, and whose.
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
  uint32_t index = 0;  // of a pseudo-terminal: /dev/pts/INDEX
  // Opened as /dev/tty or /dev/console, which lead to it.
  bool by_alias = false;
};

// Virtual consoles, serial lines, /dev/tty and friends, pseudo-terminals (Documentation/admin-guide/devices.txt).
bool is_terminal(dev_t device);
// Which one a description leads to. Works on running tasks, too.
Terminal terminal_of(const OpenFile& file);
Terminal terminal_of(dev_t device);
// A device number as /proc/PID/stat shows it (tty_nr).
dev_t terminal_device(int32_t tty_nr);

// "held by pid 12 (sshd)", for messages: who has the master of /dev/pts/INDEX.
std::string describe_master_holder(uint32_t index);

inline constexpr std::string_view kShellJobRemedy =
    "move the program that holds the other end along, start it with its input and output redirected, or use "
    "--shell-job with "
    "crx-dump and crx-restore";

}  // namespace crx
