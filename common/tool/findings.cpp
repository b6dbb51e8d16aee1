#include "common/tool/findings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <span>
#include <string_view>
#include <tuple>

#include "common/base/log.hpp"

namespace crx {
namespace {

constexpr std::size_t kNamed = 3;

using Group = std::vector<const Finding*>;  // of one kind, in the order found; never empty

// The text with every number replaced.
std::string without_numbers(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit) {
      out += c;
    } else if (out.empty() || out.back() != '#') {
      out += '#';
    }
  }
  return out;
}

std::vector<Group> group(const std::vector<Finding>& findings) {
  std::vector<Group> groups;
  std::map<std::tuple<bool, std::string, std::string, std::string>, std::size_t> known;
  for (const Finding& finding : findings) {
    const auto [at, is_new] = known.try_emplace(
        {finding.fatal, finding.where, without_numbers(finding.reason), without_numbers(finding.remedy)},
        groups.size());
    if (is_new) groups.emplace_back();
    groups[at->second].push_back(&finding);
  }
  return groups;
}

// "fd 3", "fd 3 and fd 4", "fd 3, fd 4, fd 5 and 497 more".
std::string names_of(std::span<const Finding* const> findings) {
  std::string text;
  const std::size_t named = std::min(kNamed, findings.size());
  for (std::size_t i = 0; i < named; ++i) {
    if (i > 0) text += i + 1 == findings.size() ? " and " : ", ";
    text += findings[i]->object;
  }
  if (findings.size() > named) text += fmt::format(" and {} more", findings.size() - named);
  return text;
}

std::string words_of(const Finding& finding) {
  return finding.reason + (finding.remedy.empty() ? "" : "; ") + finding.remedy;
}

bool have_same_words(const Group& group) {
  return std::all_of(group.begin(), group.end(), [&](const Finding* finding) {
    return finding->reason == group.front()->reason && finding->remedy == group.front()->remedy;
  });
}

}  // namespace

std::vector<FindingLine> render_findings(const std::vector<Finding>& findings) {
  std::vector<FindingLine> lines;
  for (const Group& group : group(findings)) {
    const Finding& first = *group.front();
    const auto add = [&](const std::string& text) {
      lines.push_back({first.fatal, printable(first.where), printable(text)});
    };
    if (have_same_words(group)) {
      add(names_of(group) + ": " + words_of(first));
      continue;
    }
    const std::size_t alone = std::min(kNamed, group.size());
    for (std::size_t i = 0; i < alone; ++i) add(group[i]->object + ": " + words_of(*group[i]));
    if (group.size() > alone) {
      add(fmt::format("{} more of this kind: {}", group.size() - alone,
                      names_of(std::span<const Finding* const>(group).subspan(alone))));
    }
  }
  return lines;
}

}  // namespace crx
