// Findings of a check before a migration, a dump or a restore, put together for people.
#pragma once

#include <string>
#include <vector>

namespace crx {

// One thing that a check found: the object ("pid 12 fd 3 (socket)"), what the matter is with it, and how to remedy
// that.
struct Finding {
  bool fatal = true;  // false: a note, nothing is refused
  std::string where;  // the host that found it; empty where there is only one
  std::string object, reason, remedy;
};

struct FindingLine {
  bool fatal = true;
  std::string where;
  std::string text;  // "OBJECTS: REASON; REMEDY", without the remedy where there is none
};

// One line for all findings with the same words, with the first three objects and the number of the others: "fd 3, fd
// 4, fd 5 and 497 more: REASON; REMEDY". Findings whose words differ in numbers only (PIDs, inodes, ports) keep a line
// each up to three of a kind; of more, the others follow in one line: "497 more of this kind: fd 6, fd 7, fd 8 and 494
// more". Lines are in the order of their first finding, and printable (common/base/log.hpp).
std::vector<FindingLine> render_findings(const std::vector<Finding>& findings);

}  // namespace crx
