#include "agent-dst/supervisor/agent_options.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <memory>
#include <sstream>

#include "agent-dst/supervisor/policy_options.hpp"
#include "common/base/endpoint.hpp"
#include "common/base/version.hpp"
#include "common/tool/command_line.hpp"
#include "wire/connection/tls_dir.hpp"

namespace crx {
namespace {

constexpr char kDescription[] =
    "Receives processes from crx-migrate and lets them run on here. Needs root.\n"
    "Every connection is TLS 1.3 with certificates of one private authority on both sides (see crx-keys).";
constexpr char kFooter[] =
    "SIZE takes the suffixes K, M, G, T (powers of 1024).\n"
    "The configuration file holds the same options as `key = value` lines, such as `max-sessions = 4`. Options of\n"
    "policy that follow a line `[peer NAME]` hold for the sources whose certificate has that name.\n"
    "\n"
    "Exit status: 0 after SIGTERM, 1 failed, 2 wrong usage; with --once the session's outcome.";

// Reads `key = value` lines; those of [peer NAME] sections go to `peers`. CLI11's own reader splits values at spaces
// and commas, and takes "[::1]:7077" for an array.
class ConfigFile : public CLI::Config {
 public:
  // peers: receives the sections in the order of the file; it must outlive this object.
  explicit ConfigFile(std::vector<PeerSection>& peers) : peers_(peers) {}

  std::string to_config(const CLI::App*, bool, bool, std::string) const override { return {}; }

  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    std::vector<CLI::ConfigItem> found;
    std::string line;
    PeerSection* section = nullptr;
    for (int number = 1; std::getline(input, line); ++number) {
      CLI::detail::trim(line);
      if (line.empty() || line[0] == '#') continue;
      if (line[0] == '[' && line.find('=') == std::string::npos) {
        section = &peers_.emplace_back(PeerSection{section_name(line, number), {}});
        continue;
      }
      const std::size_t equals = line.find('=');
      std::string key = CLI::detail::trim_copy(line.substr(0, equals));
      std::string value = equals == std::string::npos ? "true" : CLI::detail::trim_copy(line.substr(equals + 1));
      if (value.size() >= 2 && (value[0] == '"' || value[0] == '\'') && value.back() == value[0]) {
        value = value.substr(1, value.size() - 2);
      }
      if (key.empty() || key.find_first_of(" \t[]") != std::string::npos || value.empty()) {
        throw CLI::ConversionError(fmt::format("line {} is not `key = value`: {}", number, line));
      }
      if (section == nullptr) {
        add(found, std::move(key), std::move(value));
      } else if (const std::string wrong = section->texts.add(key, value); !wrong.empty()) {
        throw CLI::ConversionError(fmt::format("line {}, [peer {}]: {}", number, section->name, wrong));
      }
    }
    return found;
  }

 private:
  static std::string section_name(const std::string& line, int number) {
    constexpr std::string_view kPeer = "[peer ";
    std::string name;
    if (line.starts_with(kPeer) && line.back() == ']')
      name = CLI::detail::trim_copy(line.substr(kPeer.size(), line.size() - kPeer.size() - 1));
    if (name.empty()) throw CLI::ConversionError(fmt::format("line {} is not `[peer NAME]`: {}", number, line));
    return name;
  }

  static void add(std::vector<CLI::ConfigItem>& found, std::string key, std::string value) {
    for (CLI::ConfigItem& item : found) {
      if (item.name == key) {
        item.inputs.push_back(std::move(value));
        return;
      }
    }
    CLI::ConfigItem item;
    item.name = std::move(key);
    item.inputs.push_back(std::move(value));
    found.push_back(std::move(item));
  }

  std::vector<PeerSection>& peers_;
};

std::string check_open_fd(const std::string& text) {
  int fd = -1;
  if (!CLI::detail::lexical_cast(text, fd) || fd < 0)
    return fmt::format("'{}' is not the number of a descriptor", text);
  return ::fcntl(fd, F_GETFD) >= 0 ? std::string() : fmt::format("descriptor {} is not open", fd);
}

// Texts as the user wrote them, which are converted to other types after parsing.
struct Raw {
  std::string listen, metrics, tls_dir;
  PolicyTexts policy;
  std::vector<PeerSection> peers;
  int64_t idle_timeout_s = 600;
  std::string log_level = "info";
};

void add_service(CLI::App& app, AgentOptions& options, Raw& raw) {
  app.add_option("--listen", raw.listen,
                 fmt::format("Where to accept sessions; default port {}, port 0 picks a free one", kDefaultPort))
      ->check(cli::check_agent_endpoint)
      ->type_name("HOST[:PORT]");
  app.add_option("--tls-dir", raw.tls_dir,
                 "Directory of ca.pem, cert.pem and key.pem; default $CRX_TLS_DIR, then /etc/crx/tls")
      ->type_name("DIR");
  app.add_option("--state", options.state,
                 "Journals of this host's crx-migrate, whose unfinished sessions are finished; default /var/lib/crx")
      ->type_name("DIR");
  app.add_option("--tls-cacrl", options.tls_crl,
                 "The authority's list of revoked certificates; default crl.pem in that directory, if it is there")
      ->type_name("FILE");
  app.add_option("--store", options.store, "Directory of journals and image sets; default /var/lib/crx")
      ->type_name("DIR");
  app.add_flag("--list", options.list,
               "Print the unfinished sessions of this host below --store and --state, and exit; with --json as JSON")
      ->configurable(false);
  app.add_flag("--all", options.all, "With --list: finished sessions, too")->configurable(false);
  app.add_flag("--once", options.once, "Serve one session and exit with its outcome")->configurable(false);
  app.add_option("--ready-fd", options.ready_fd, "Write `ready PORT` to this descriptor once listening, then close it")
      ->check(check_open_fd)
      ->type_name("N")
      ->configurable(false);
  app.add_option("--metrics", raw.metrics, "Serve Prometheus text at /metrics and a status page at /")
      ->check(cli::check_endpoint)
      ->type_name("HOST:PORT");
  app.add_option("--hook", options.hook,
                 "Run at prepared, committed, resumed, aborted; a failure before the "
                 "commit refuses the session")
      ->type_name("CMD");
  app.add_flag("--json", options.json, "Print a JSON object on stdout for each event of a session");
  app.add_option("--log-level", raw.log_level, "Default info")
      ->check(cli::one_of(std::vector<std::string>{"error", "warn", "info", "debug"}))
      ->type_name("error|warn|info|debug");
}

void add_policy(CLI::App& app, AgentOptions& options, Raw& raw) {
  const std::string group = "Policy";
  app.add_option("--allow", options.allow,
                 "A certificate name that may connect; may be repeated; default all of "
                 "the authority")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("IDENTITY")
      ->group(group);
  add_policy_options(app, raw.policy, group);
  app.add_flag("--require-signature", options.require_signature,
               "Store only sets that crx-dump --sign made with a certificate of this authority")
      ->group(group);
  app.add_option("--max-sessions", options.max_sessions, "Sessions at a time; default 8")
      ->check(cli::between(1, 10'000))
      ->type_name("N")
      ->group(group);
  app.add_option("--max-peer-sessions", options.max_peer_sessions,
                 "Sessions of one certificate at a time; default no limit of its own")
      ->check(cli::between(1, 10'000))
      ->type_name("N")
      ->group(group);
  app.add_option("--idle-timeout", raw.idle_timeout_s,
                 "End a session before its commit whose source sends nothing for so long; default 600")
      ->check(cli::between(1, 1'000'000))
      ->type_name("SEC")
      ->group(group);
}

// Makes the checks that CLI11 cannot make; throws CLI::ParseError.
void finish(AgentOptions& options, const Raw& raw) {
  const auto wrong = [](const char* text) { return CLI::ParseError(text, CLI::ExitCodes::ValidationError); };
  if (options.all && !options.list) throw wrong("--all goes with --list");
  if (raw.listen.empty() && !options.list) throw wrong("--listen is required: HOST or HOST:PORT to accept sessions at");
  if (!raw.listen.empty()) options.listen = *parse_agent_endpoint(raw.listen);
  if (!raw.metrics.empty()) options.metrics = parse_endpoint(raw.metrics);
  options.tls_dir = wire::tls_dir_or_default(raw.tls_dir);
  options.idle_timeout_ms = raw.idle_timeout_s * 1000;
  raw.policy.apply(options.policy);
  for (const PeerSection& section : raw.peers) {
    options.peers.push_back({section.name, options.policy});
    section.texts.apply(options.peers.back().policy);
  }
  options.log_level = log::parse_level(raw.log_level);
}

}  // namespace

ParsedAgentOptions parse_agent_options(int argc, const char* const* argv) {
  AgentOptions options;
  Raw raw;
  CLI::App app(kDescription, "crx-agent");
  app.footer(kFooter);
  app.formatter(std::make_shared<cli::HelpFormatter>("crx-agent --listen HOST[:PORT] [OPTIONS]"));
  app.set_help_flag("-h,--help", "Print this help and exit");
  app.set_version_flag("--version", version_text("crx-agent"), "Print the version and exit");
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.config_formatter(std::make_shared<ConfigFile>(raw.peers));
  app.set_config("--config", "", "`key = value` lines with the options below as keys", false)
      ->type_name("FILE")
      ->configurable(false);
  app.allow_config_extras(CLI::config_extras_mode::error);
  add_service(app, options, raw);
  add_policy(app, options, raw);
  try {
    app.parse(argc, argv);
    finish(options, raw);
    return {std::move(options), 0, {}};
  } catch (const CLI::Success& asked) {  // --help, --version
    std::ostringstream out;
    app.exit(asked, out, out);
    return {std::nullopt, 0, out.str()};
  } catch (const CLI::ConfigError& error) {  // its text is "INI was not able to parse KEY"
    const std::string text = error.what();
    return {std::nullopt, 2,
            fmt::format("crx-agent: {} is not a key of the configuration file\nTry 'crx-agent --help' for more.\n",
                        text.substr(text.rfind(' ') + 1))};
  } catch (const CLI::ParseError& error) {
    return {std::nullopt, 2, fmt::format("crx-agent: {}\nTry 'crx-agent --help' for more.\n", error.what())};
  }
}

}  // namespace crx
