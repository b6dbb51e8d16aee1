// The command line of crx-restore.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/base/log.hpp"

namespace crx {

// Everything crx-restore can be told; parsed once, then passed const.
struct RestoreOptions {
  std::string images_dir;  // -D, or the set --name in --store
  bool detached = false;   // -d
  bool shell_job = false;
  bool check_only = false;
  bool new_pids = false;  // -n: in a PID namespace of its own
  bool cgroups = true;    // --manage-cgroups soft
  std::string pidfile;
  bool json = false;
  log::Level log_level = log::Level::warn;
};

struct ParsedRestoreOptions {
  std::optional<RestoreOptions> options;
  int exit_code = 0;
  std::string text;  // for stdout when exit_code is 0, else for stderr
};

// argv as main gets it. Never throws for what a user wrote.
ParsedRestoreOptions parse_restore_options(int argc, const char* const* argv);

}  // namespace crx
