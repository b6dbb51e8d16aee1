// The command line of crx-run.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent-src/run/launch.hpp"
#include "common/base/log.hpp"
#include "common/tool/parsed.hpp"

namespace crx {

// All options of crx-run. They are parsed once and then passed as const.
struct RunOptions {
  LaunchPlan launch;
  bool json = false;
  log::Level log_level = log::Level::warn;
};

using ParsedRunOptions = Parsed<RunOptions>;

// Parses argv as main gets it; what follows "--" is the command. Never throws because of what a user wrote: the result
// then has no options.
ParsedRunOptions parse_run_options(int argc, const char* const* argv);

}  // namespace crx
