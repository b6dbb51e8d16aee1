#include "agent-src/run/run_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <sstream>
#include <string_view>

#include "common/base/version.hpp"
#include "common/tool/command_line.hpp"

namespace crx {
namespace {

constexpr char kDescription[] =
    "Starts COMMAND so that crx-migrate can move it: in a session of its own, without a terminal, with its\n"
    "input from /dev/null, its output in a file, and no other descriptors. Prints its PID on stdout, and on\n"
    "stderr whatever would keep it from moving.";
constexpr char kFooter[] =
    "Exit status: 0 started, 1 the program could not be started or has failed at once, 2 wrong usage.\n"
    "\n"
    "Example: crx-run --output /var/log/count.log -- sh -c 'while date; do sleep 1; done'";

std::string try_help(const std::string& text) {
  return fmt::format("crx-run: {}\nTry 'crx-run --help' for more.\n", text);
}

}  // namespace

ParsedRunOptions parse_run_options(int argc, const char* const* argv) {
  RunOptions options;
  std::string log_level = "warn";
  const auto end = argv + argc;
  const auto dashes = std::find(argv, end, std::string_view("--"));
  if (dashes != end) options.launch.command.assign(dashes + 1, end);
  CLI::App app(kDescription, "crx-run");
  app.footer(kFooter);
  app.formatter(std::make_shared<cli::HelpFormatter>("crx-run [OPTIONS] -- COMMAND [ARGUMENTS]"));
  app.set_help_flag("-h,--help", "Print this help and exit");
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.set_version_flag("--version", version_text("crx-run"), "Print the version and exit");
  app.add_option("--output", options.launch.output, "Append what it writes to this file; default /dev/null")
      ->type_name("FILE");
  app.add_option("--pidfile", options.launch.pidfile, "Write its PID to this file before it starts")->type_name("FILE");
  app.add_flag("--json", options.json, "JSON objects on stdout, one a line, in place of the PID");
  app.add_option("--log-level", log_level, "Default warn")
      ->check(cli::one_of(std::vector<std::string>{"error", "warn", "info", "debug"}))
      ->type_name("error|warn|info|debug");
  try {
    app.parse(static_cast<int>(dashes - argv), argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    std::ostringstream out;
    app.exit(asked, out, out);
    return {std::nullopt, 0, out.str()};
  } catch (const CLI::ParseError& error) {
    return {std::nullopt, 2, try_help(error.what())};
  }
  if (options.launch.command.empty())
    return {std::nullopt, 2, try_help("the command is missing; it follows two dashes: crx-run -- COMMAND")};
  options.log_level = log::parse_level(log_level);
  return {std::move(options), 0, {}};
}

}  // namespace crx
