#include "common/tool/config_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace crx::cli {
namespace {

constexpr char kPath[] = "/etc/crx/crx.conf";
constexpr std::string_view kAgent = "agent";
constexpr std::array<std::string_view, 4> kTools = {kAgent, "migrate", "dump", "restore"};
constexpr std::string_view kPeer = "peer ";
// Keys that mean the same to every tool that has them, so they may stand before the first section.
constexpr std::array<std::string_view, 4> kCommon = {"log-level", "state", "tls-cacrl", "tls-dir"};

template <typename List>
bool is_in(const List& list, std::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

std::string unquoted(std::string value) {
  const bool quoted = value.size() >= 2 && (value[0] == '"' || value[0] == '\'') && value.back() == value[0];
  return quoted ? value.substr(1, value.size() - 2) : value;
}

// The text between the brackets of a line that begins a section; empty: the line is no section's beginning.
std::string section_of(const std::string& line) {
  if (!line.starts_with('[') || !line.ends_with(']')) return {};
  return CLI::detail::trim_copy(line.substr(1, line.size() - 2));
}

bool is_peer(const std::string& section) {
  return section.starts_with(kPeer);
}

}  // namespace

struct ConfigFile::Line {
  int number = 0;
  std::string section;  // empty: before the first one
  std::string key, value;
};

ConfigFile::ConfigFile(const CLI::App& app, std::string tool, PeerSections* peers)
    : app_(app), tool_(std::move(tool)), peers_(peers) {}

std::string ConfigFile::place(int number) const {
  return fmt::format("{}, line {}: ", app_.get_config_ptr()->as<std::string>(), number);
}

std::vector<CLI::ConfigItem> ConfigFile::from_config(std::istream& input) const {
  std::vector<CLI::ConfigItem> found;
  Line line;
  for (std::string text; std::getline(input, text);) {
    ++line.number;
    CLI::detail::trim(text);
    if (text.empty() || text[0] == '#') continue;
    const auto wrong = [&](const std::string& why) { return CLI::ConversionError(place(line.number) + why); };
    if (text[0] == '[' && text.find('=') == std::string::npos) {
      line.section = section_of(text);
      if (!is_peer(line.section) && !is_in(kTools, line.section))
        throw wrong(fmt::format("{} is none of the sections [agent], [peer NAME], [migrate], [dump], [restore]", text));
      if (is_peer(line.section) && peers_ != nullptr)
        peers_->begin(CLI::detail::trim_copy(line.section.substr(kPeer.size())));
      continue;
    }
    const std::size_t equals = text.find('=');
    line.key = CLI::detail::trim_copy(text.substr(0, equals));
    line.value = equals == std::string::npos ? "true" : unquoted(CLI::detail::trim_copy(text.substr(equals + 1)));
    if (line.key.empty() || line.key.find_first_of(" \t[]") != std::string::npos || line.value.empty())
      throw wrong(fmt::format("'{}' is not `key = value`", text));
    take(line, found);
  }
  return found;
}

void ConfigFile::take(const Line& line, std::vector<CLI::ConfigItem>& found) const {
  const auto wrong = [&](const std::string& why) { return CLI::ConversionError(place(line.number) + why); };
  if (is_peer(line.section)) {
    const std::string why = peers_ != nullptr ? peers_->add(line.key, line.value) : std::string();
    if (!why.empty()) throw wrong(fmt::format("[{}]: {}", line.section, why));
    return;
  }
  const bool common = line.section.empty() && is_in(kCommon, line.key);
  // Files for crx-agent alone need no section.
  const bool ours = line.section == tool_ || (line.section.empty() && tool_ == kAgent);
  if (line.section.empty() && !common && !ours)
    throw wrong(
        fmt::format("{} is not for all tools; put it below the section of its tool, such as [agent]", line.key));
  if (!common && !ours) return;
  const CLI::Option* const option = app_.get_option_no_throw("--" + line.key);
  if (option == nullptr && common) return;  // one that this tool does not have
  if (option == nullptr || !option->get_configurable())
    throw wrong(fmt::format("{} is not a key of crx-{}, see crx.conf(5)", line.key, tool_));
  const bool is_flag = option->get_expected_min() == 0;
  if (is_flag && line.value != "true" && line.value != "false")
    throw wrong(fmt::format("{}: '{}' is neither true nor false", line.key, line.value));
  if (option->count() > 0) return;  // the command line has precedence
  lines_[line.key] = line.number;
  const auto same = std::find_if(found.begin(), found.end(), [&](const auto& item) { return item.name == line.key; });
  CLI::ConfigItem& item = same == found.end() ? found.emplace_back() : *same;
  item.name = line.key;
  if (is_flag) item.inputs.clear();
  item.inputs.push_back(line.value);
}

std::string ConfigFile::explain(const CLI::ParseError& error) const {
  const std::string text = error.what();
  for (const auto& [key, number] : lines_) {
    const std::string option = "--" + key;
    if (!text.starts_with(option)) continue;
    if (text.size() == option.size() || text[option.size()] == ':' || text[option.size()] == ' ')
      return place(number) + text.substr(2);
  }
  return text;
}

std::shared_ptr<ConfigFile> add_config_file(CLI::App& app, const std::string& tool, PeerSections* peers) {
  auto file = std::make_shared<ConfigFile>(app, tool, peers);
  app.config_formatter(file);
  app.set_config("--config", kPath, fmt::format("`key = value` lines, see crx.conf(5); default {} if it exists", kPath),
                 false)
      ->type_name("FILE")
      ->configurable(false);
  app.allow_config_extras(CLI::config_extras_mode::error);
  return file;
}

}  // namespace crx::cli
