// What this kernel and this process's privileges offer of what crx uses.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace crx {

enum class Answer {
  yes,
  no,
  unknown,  // we may not look
};

enum class Need {
  migration,  // without it nothing can move
  comfort,    // without it something is slower, or some programs cannot move
};

struct Feature {
  std::string_view name;   // "pagemap-scan"
  std::string_view since;  // "Linux 6.7", or the configuration option
  Need need = Need::comfort;
  std::string_view what;    // what it is used for
  std::string_view lost;    // without it
  std::string_view remedy;  // how to get it
  Answer answer = Answer::unknown;
  std::string detail = {};  // what was seen: an error's text, a version
};

// Tries each; takes milliseconds, changes nothing, and needs no privileges to be called. Forks short-lived children, so
// the caller should have one thread.
std::vector<Feature> probe_features();

}  // namespace crx
