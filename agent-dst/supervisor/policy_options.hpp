// The options of crx-agent that make its policy, and their keys in [peer NAME] sections of the configuration file.
#pragma once

#include <string>
#include <vector>

#include "agent-dst/policy/policy.hpp"

namespace CLI {
class App;
}

namespace crx {

// Options as the user wrote them; empty: not given.
struct PolicyTexts {
  std::vector<std::string> allow_uid, allow_gid, allow_capabilities, allow_files;
  std::string max_memory, max_image_memory, max_tasks;

  // Takes a line of a section. Returns an empty string, or what is wrong with the key or the value.
  std::string add(const std::string& key, const std::string& value);
  // Replaces the rules that are given; all texts must have been checked.
  void apply(Policy& policy) const;
};

// A section [peer NAME].
struct PeerSection {
  std::string name;
  PolicyTexts texts;
};

// Adds the options to the parser, which checks and stores the texts. texts: must outlive `app`.
void add_policy_options(CLI::App& app, PolicyTexts& texts, const std::string& group);

}  // namespace crx
