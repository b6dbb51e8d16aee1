// Detects which of the kernel features that crx uses are available to this process, with its privileges.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace crx {

enum class Answer {
  yes,
  no,
  unknown,  // the process is not permitted to find out
};

enum class Need {
  migration,  // required: without it no process can be moved
  comfort,    // optional: without it something is slower, or some programs cannot be moved
};

struct Feature {
  std::string_view name;   // "pagemap-scan"
  std::string_view since;  // "Linux 6.7", or the kernel configuration option
  Need need = Need::comfort;
  std::string_view what;    // the purpose for which crx uses it
  std::string_view lost;    // the consequence of its absence
  std::string_view remedy;  // how to make it available
  Answer answer = Answer::unknown;
  std::string detail = {};  // the observation: an error text or a version
};

// Probes every feature. It takes milliseconds, changes nothing and can be called without privileges. It forks
// short-lived children, so the caller should have one thread.
std::vector<Feature> probe_features();

}  // namespace crx
