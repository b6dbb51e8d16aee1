#include "agent-dst/supervisor/policy_options.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

#include "common/base/size.hpp"
#include "common/tool/command_line.hpp"

namespace crx {
namespace {

bool parse_number(std::string_view digits, uint32_t& value) {
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return !digits.empty() && error == std::errc() && end == digits.data() + digits.size();
}

// Parses "1000" or "1000-1999"; the range includes both ends.
std::optional<IdRange> parse_id_range(std::string_view text) {
  IdRange range;
  const std::size_t dash = text.find('-');
  if (!parse_number(text.substr(0, dash), range.first)) return std::nullopt;
  range.last = range.first;
  if (dash == std::string_view::npos) return range;
  if (!parse_number(text.substr(dash + 1), range.last) || range.last < range.first) return std::nullopt;
  return range;
}

std::string check_id_range(const std::string& text) {
  return parse_id_range(text) ? std::string()
                              : fmt::format("'{}' is not an id or a range of ids such as 1000-1999", text);
}

std::string check_capabilities(const std::string& text) {
  return parse_capabilities(text)
             ? std::string()
             : fmt::format("'{}' is not all, none, or a list of capabilities such as net_bind_service,sys_nice", text);
}

std::string check_directory(const std::string& text) {
  const std::string path = text + "/";
  const bool plain = path.find("/./") == std::string::npos && path.find("/../") == std::string::npos;
  return text.starts_with('/') && plain ? std::string() : fmt::format("'{}' is not the full path of a directory", text);
}

// The kernel's spelling: without a slash at the end, and with one between two names.
std::string plain_path(const std::string& text) {
  std::string path;
  for (const char c : text) {
    if (c != '/' || path.empty() || path.back() != '/') path += c;
  }
  if (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

std::string check_count(const std::string& text) {
  uint32_t value = 0;
  return parse_number(text, value) && value > 0 ? std::string() : fmt::format("'{}' is not a number above 0", text);
}

// One option: how it is named, where its texts go, and what they may be. Either `list` or `text` is set.
struct PolicyOption {
  const char* name;
  std::vector<std::string> PolicyTexts::*list;
  std::string PolicyTexts::*text;
  std::string (*check)(const std::string&);
  const char* type;
  const char* help;
};

constexpr std::array<PolicyOption, 7> kPolicyOptions = {{
    {"allow-uid", &PolicyTexts::allow_uid, nullptr, check_id_range, "RANGE",
     "Uids that moved tasks may have, such as 1000-1999; may be repeated; default all"},
    {"allow-gid", &PolicyTexts::allow_gid, nullptr, check_id_range, "RANGE",
     "Gids and groups that moved tasks may have; may be repeated; default all"},
    {"allow-capabilities", &PolicyTexts::allow_capabilities, nullptr, check_capabilities, "LIST",
     "Capabilities that moved tasks may have, such as net_bind_service,sys_nice; all; none; may be repeated; default "
     "all if uid 0 is allowed, else none"},
    {"allow-files", &PolicyTexts::allow_files, nullptr, check_directory, "DIR",
     "Directory below which crx-migrate --with-files may make files; may be repeated; default none"},
    {"max-memory", nullptr, &PolicyTexts::max_memory, cli::check_size, "SIZE",
     "Memory that one session may need; default no limit"},
    {"max-image-memory", nullptr, &PolicyTexts::max_image_memory, cli::check_size, "SIZE",
     "Images (state, deleted files, carried files) that one session may send; default --max-memory, at most 1G"},
    {"max-tasks", nullptr, &PolicyTexts::max_tasks, check_count, "N",
     "Threads and zombies that one session may have; default no limit"},
}};

}  // namespace

std::string PolicyTexts::add(const std::string& key, const std::string& value) {
  for (const PolicyOption& option : kPolicyOptions) {
    if (key != option.name) continue;
    if (std::string wrong = option.check(value); !wrong.empty()) return key + ": " + wrong;
    if (option.list != nullptr) {
      (this->*option.list).push_back(value);
    } else {
      this->*option.text = value;
    }
    return {};
  }
  return key + " is not an option of policy";
}

void PolicyTexts::apply(Policy& policy) const {
  const auto ranges = [](const std::vector<std::string>& texts, std::vector<IdRange>& to) {
    if (!texts.empty()) to.clear();
    for (const std::string& text : texts) to.push_back(*parse_id_range(text));
  };
  ranges(allow_uid, policy.uids);
  ranges(allow_gid, policy.gids);
  if (!allow_capabilities.empty()) policy.capabilities = 0;
  for (const std::string& text : allow_capabilities) *policy.capabilities |= *parse_capabilities(text);
  if (!allow_files.empty()) policy.files.clear();
  for (const std::string& text : allow_files) policy.files.push_back(plain_path(text));
  if (!max_memory.empty()) policy.max_memory = *parse_size(max_memory);
  if (!max_image_memory.empty()) policy.max_image_memory = *parse_size(max_image_memory);
  if (max_tasks.empty()) return;
  uint32_t tasks = 0;
  if (parse_number(max_tasks, tasks)) policy.max_tasks = tasks;
}

void add_policy_options(CLI::App& app, PolicyTexts& texts, const std::string& group) {
  for (const PolicyOption& option : kPolicyOptions) {
    const std::string name = fmt::format("--{}", option.name);
    CLI::Option* added = option.list != nullptr ? app.add_option(name, texts.*option.list, option.help)
                                                : app.add_option(name, texts.*option.text, option.help);
    added->check(option.check)->type_name(option.type)->group(group);
    if (option.list != nullptr) added->allow_extra_args(false)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }
}

}  // namespace crx
