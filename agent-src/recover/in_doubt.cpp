#include "agent-src/recover/in_doubt.hpp"

#include <fmt/format.h>

namespace crx {

std::string describe_kept(const SourceSession& description, const std::string& session) {
  return fmt::format(
      "the original is kept frozen in cgroup {0}; a crx-agent of this host settles the session when {1} can be asked, "
      "and so does crx-migrate --resolve {2}; if {1} does not come back, crx-migrate --adopt {2} lets the original run "
      "on here, and crx-migrate --discard {2} ends it",
      description.group, description.to.text(), session);
}

}  // namespace crx
