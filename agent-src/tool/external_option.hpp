// The option --external, which crx-migrate and crx-dump share. It includes CLI11, which is slow to compile, so only the
// two option parsers include this header.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "agent-src/tool/migrate_options.hpp"
#include "common/tool/command_line.hpp"

namespace crx {

// inodes: receives the inodes of the named sockets; must outlive the parsing.
inline void add_external(CLI::App& app, std::set<uint64_t>& inodes, const std::string& group) {
  app.add_option_function<std::vector<std::string>>(
         "--external",
         [&inodes](const std::vector<std::string>& texts) {
           for (const std::string& text : texts) inodes.insert(*parse_external(text));
         },
         "A unix socket of the tree whose other end is outside; may be repeated")
      ->check([](const std::string& text) { return parse_external(text) ? std::string() : external_problem(text); })
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("unix[INODE]")
      ->group(group);
}

}  // namespace crx
