#include "agent-dst/supervisor/agent_options.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <memory>
#include <sstream>

#include "agent-dst/supervisor/policy_options.hpp"
#include "common/base/endpoint.hpp"
#include "common/base/version.hpp"
#include "common/tool/command_line.hpp"
#include "common/tool/config_file.hpp"
#include "wire/connection/tls_dir.hpp"

namespace crx {
namespace {

constexpr char kDescription[] =
    "Receives processes from crx-migrate and lets them run on here. Needs root.\n"
    "Every connection is TLS 1.3 with certificates of one private authority on both sides (see crx-keys).";
constexpr char kFooter[] =
    "SIZE takes the suffixes K, M, G, T (powers of 1024).\n"
    "The configuration file holds the same options as `key = value` lines below `[agent]`, such as `max-sessions = "
    "4`.\n"
    "Options of policy that follow a line `[peer NAME]` hold for the sources whose certificate has that name.\n"
    "\n"
    "Exit status: 0 after SIGTERM, 1 failed, 2 wrong usage; with --once the session's outcome.";

// The sections of the configuration file in the order in which they stand there.
class Peers : public cli::PeerSections {
 public:
  // sections: must outlive this object.
  explicit Peers(std::vector<PeerSection>& sections) : sections_(sections) {}
  void begin(const std::string& name) override { sections_.push_back({name, {}}); }
  std::string add(const std::string& key, const std::string& value) override {
    return sections_.back().texts.add(key, value);
  }

 private:
  std::vector<PeerSection>& sections_;
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
  add_service(app, options, raw);
  add_policy(app, options, raw);
  Peers peers(raw.peers);
  const auto config = cli::add_config_file(app, "agent", &peers);
  try {
    app.parse(argc, argv);
    finish(options, raw);
    return {std::move(options), 0, {}};
  } catch (const CLI::Success& asked) {  // --help, --version
    std::ostringstream out;
    app.exit(asked, out, out);
    return {std::nullopt, 0, out.str()};
  } catch (const CLI::ParseError& error) {
    return {std::nullopt, 2, fmt::format("crx-agent: {}\nTry 'crx-agent --help' for more.\n", config->explain(error))};
  }
}

}  // namespace crx
