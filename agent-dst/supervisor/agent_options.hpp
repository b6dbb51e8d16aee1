// The command line and the configuration file of crx-agent.
#pragma once

#include <optional>
#include <string>

#include "agent-dst/supervisor/agent.hpp"
#include "common/tool/parsed.hpp"

namespace crx {

// The result of parsing: options, or a text to print before the exit (help, version, a usage error).
using ParsedAgentOptions = Parsed<AgentOptions>;

// argv: as main receives it. Does not throw for user errors. --config FILE holds `key = value` lines: the key is the
// name of a long option without its dashes, the value is the rest of the line; # begins a comment line; repeatable
// options may be repeated in the file. The command line overrides the file; an unknown key is a usage error. The keys
// that follow a line `[peer NAME]` are options of policy (policy_options.hpp); for sources whose certificate has that
// name each of them replaces the option of the same name, wherever that was given.
ParsedAgentOptions parse_agent_options(int argc, const char* const* argv);

}  // namespace crx
