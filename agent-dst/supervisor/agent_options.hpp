// The command line and the configuration file of crx-agent.
#pragma once

#include <optional>
#include <string>

#include "agent-dst/supervisor/agent.hpp"

namespace crx {

// What parsing gives: options, or what to print and exit with (help, version, a usage error).
struct ParsedAgentOptions {
  std::optional<AgentOptions> options;
  int exit_code = 0;
  std::string text;  // for stdout when exit_code is 0, else for stderr
};

// argv as main gets it. Never throws for what a user wrote. --config FILE holds `key = value` lines: a long option's
// name without its dashes, the rest of the line as its value; # begins a comment line; options that may be repeated may
// be repeated there. The command line wins over the file; an unknown key is a usage error.
ParsedAgentOptions parse_agent_options(int argc, const char* const* argv);

}  // namespace crx
