#include "common/base/page.hpp"

#include <algorithm>

namespace crx {

std::vector<PageRange> unite(const std::vector<PageRange>& a, const std::vector<PageRange>& b) {
  std::vector<PageRange> out;
  auto i = a.begin();
  auto j = b.begin();
  while (i != a.end() || j != b.end()) {
    const bool from_a = j == b.end() || (i != a.end() && i->start <= j->start);
    append_range(out, from_a ? *i++ : *j++);
  }
  return out;
}

std::vector<PageRange> subtract(const std::vector<PageRange>& a, const std::vector<PageRange>& b) {
  std::vector<PageRange> out;
  auto j = b.begin();
  for (PageRange rest : a) {
    while (j != b.end() && j->end <= rest.start) ++j;
    for (auto k = j; k != b.end() && k->start < rest.end; ++k) {
      if (k->start > rest.start) append_range(out, {rest.start, k->start});
      rest.start = std::max(rest.start, k->end);
      if (rest.empty()) break;
    }
    if (!rest.empty()) append_range(out, rest);
  }
  return out;
}

std::vector<PageRange> intersect(const std::vector<PageRange>& a, const std::vector<PageRange>& b) {
  std::vector<PageRange> out;
  auto i = a.begin();
  auto j = b.begin();
  while (i != a.end() && j != b.end()) {
    const PageRange both{std::max(i->start, j->start), std::min(i->end, j->end)};
    if (!both.empty()) append_range(out, both);
    if (i->end < j->end)
      ++i;
    else
      ++j;
  }
  return out;
}

}  // namespace crx
