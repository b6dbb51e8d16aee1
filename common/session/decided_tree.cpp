#include "common/session/decided_tree.hpp"

#include <fmt/format.h>

#include <charconv>

namespace crx {
namespace {

// Removes `name` and the number behind it from the front of the text.
template <typename Number>
bool take_number(std::string_view& text, std::string_view name, Number& number) {
  if (!text.starts_with(name)) return false;
  const char* const end = text.data() + text.size();
  const auto [behind, error] = std::from_chars(text.data() + name.size(), end, number);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(behind - text.data()));
  return true;
}

constexpr std::string_view kStayFrozen = " stay frozen";

}  // namespace

std::string to_detail(const DecidedTree& tree) {
  if (tree.runs) return fmt::format("pid {} runs", tree.root);
  return fmt::format("pid {} processes {}{} group {}", tree.root, tree.processes, tree.stay_frozen ? kStayFrozen : "",
                     tree.group);
}

std::optional<DecidedTree> parse_decided_tree(std::string_view detail) {
  constexpr std::string_view kGroup = " group ";
  DecidedTree tree;
  if (!take_number(detail, "pid ", tree.root)) return std::nullopt;
  tree.runs = detail == " runs";
  if (tree.runs) return tree;
  if (!take_number(detail, " processes ", tree.processes)) return std::nullopt;
  tree.stay_frozen = detail.starts_with(kStayFrozen);
  if (tree.stay_frozen) detail.remove_prefix(kStayFrozen.size());
  if (!detail.starts_with(kGroup)) return std::nullopt;
  tree.group = detail.substr(kGroup.size());
  return tree;
}

}  // namespace crx
