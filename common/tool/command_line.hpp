// Helpers for the option parsers of all tools. It includes CLI11, which is slow to compile: only the file with a tool's
// options includes this header.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <map>
#include <string>

#include "common/base/endpoint.hpp"
#include "common/base/size.hpp"

namespace crx::cli {

// Formats the help in two columns, wrapped at 100 characters; an option shows only its metavar.
class HelpFormatter : public CLI::Formatter {
 public:
  // usage: the text after "Usage: ".
  explicit HelpFormatter(std::string usage) : usage_(std::move(usage)) { column_width(30); }

  std::string make_usage(const CLI::App*, std::string) const override { return "Usage: " + usage_ + "\n"; }

  std::string make_option_opts(const CLI::Option* option) const override {
    const std::string metavar = option->get_type_size() == 0 ? std::string() : option->get_type_name();
    return metavar.empty() ? std::string() : " " + metavar;
  }

  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    constexpr std::size_t kWidth = 100;
    const std::size_t indent = get_column_width();
    std::string out = "  " + make_option_name(option, is_positional) + make_option_opts(option);
    out += out.size() + 1 > indent ? "\n" + std::string(indent, ' ') : std::string(indent - out.size(), ' ');
    std::size_t column = indent;
    std::string word;
    for (const char c : make_option_desc(option) + " ") {
      if (c != ' ') {
        word += c;
        continue;
      }
      if (column + word.size() > kWidth) {
        out += "\n" + std::string(indent, ' ');
        column = indent;
      }
      out += column == indent ? word : " " + word;
      column += word.size() + (column == indent ? 0 : 1);
      word.clear();
    }
    return out + "\n";
  }

 private:
  std::string usage_;
};

// Validators whose error message says what is wrong with the text, and which add nothing to the help.
template <typename Number>
CLI::Validator between(Number low, Number high) {
  return CLI::Range(low, high).description("");
}

template <typename Choices>
CLI::Validator one_of(Choices choices) {
  return CLI::IsMember(std::move(choices)).description("");
}

// Adds an option that accepts the words in `choices` and stores the matching value in `target`.
template <typename Enum>
void add_choice(CLI::App& app, const std::string& name, Enum& target, const std::map<std::string, Enum>& choices,
                const std::string& metavar, const std::string& help, const std::string& group) {
  app.add_option_function<std::string>(
         name, [&target, choices](const std::string& text) { target = choices.at(text); }, help)
      ->check(one_of(choices))
      ->type_name(metavar)
      ->group(group);
}

// CLI11 validators: they return an empty string for valid text, else the error message.
inline std::string check_size(const std::string& text) {
  return parse_size(text) ? std::string() : fmt::format("'{}' is not a size such as 4096, 64K, 100M or 1.5G", text);
}

// HOST:PORT with a host; port 0 is allowed.
inline std::string check_endpoint(const std::string& text) {
  const std::optional<Endpoint> endpoint = parse_endpoint(text);
  if (endpoint && !endpoint->host.empty()) return {};
  return fmt::format("'{}' is not HOST:PORT (write an IPv6 address as [::1]:7077)", text);
}

// HOST:PORT with a port that can be connected to.
inline std::string check_peer_endpoint(const std::string& text) {
  const std::string wrong = check_endpoint(text);
  return wrong.empty() && parse_endpoint(text)->port == 0 ? fmt::format("'{}': port 0 cannot be reached", text) : wrong;
}

// HOST or HOST:PORT, where a crx-agent listens; port 0 is allowed.
inline std::string check_agent_endpoint(const std::string& text) {
  const std::optional<Endpoint> endpoint = parse_agent_endpoint(text);
  if (endpoint && !endpoint->host.empty()) return {};
  return fmt::format("'{}' is neither HOST nor HOST:PORT (write an IPv6 address as [::1] or [::1]:{})", text,
                     kDefaultPort);
}

// HOST or HOST:PORT of a crx-agent, with a port that can be connected to.
inline std::string check_peer_agent(const std::string& text) {
  const std::string wrong = check_agent_endpoint(text);
  return wrong.empty() && parse_agent_endpoint(text)->port == 0 ? fmt::format("'{}': port 0 cannot be reached", text)
                                                                : wrong;
}

}  // namespace crx::cli
