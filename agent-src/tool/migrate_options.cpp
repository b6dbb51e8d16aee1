#include "agent-src/tool/migrate_options.hpp"

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <memory>
#include <sstream>

#include "agent-src/tool/external_option.hpp"
#include "common/base/journal.hpp"
#include "common/base/version.hpp"
#include "common/tool/command_line.hpp"
#include "common/tool/config_file.hpp"
#include "wire/connection/tls_dir.hpp"
#include "wire/source/connect.hpp"

namespace crx {
namespace {

constexpr char kDescription[] =
    "Moves the running process tree rooted at PID to the host where crx-agent listens at HOST[:PORT].\n"
    "The processes keep running while their memory is copied and stand still for milliseconds.";
constexpr char kFooter[] =
    "SIZE and RATE take the suffixes K, M, G, T (powers of 1024).\n"
    "\n"
    "Exit status:\n"
    "  0  moved (with --wait: the exit status of the moved program)\n"
    "  1  failed; the process runs on here unharmed\n"
    "  2  wrong usage\n"
    "  3  refused by preflight; nothing was touched\n"
    "  4  in doubt: committed but not confirmed; the original is kept frozen\n"
    "\n"
    "Example: crx-migrate --to host-b --verify $(pidof -s program)";

std::string check_compress(const std::string& text) {
  if (text == "auto" || text == "none" || text == "zstd") return {};
  int level = 0;
  if (text.starts_with("zstd:") && CLI::detail::lexical_cast(text.substr(5), level) && level >= -7 && level <= 19 &&
      level != 0) {
    return {};
  }
  return fmt::format("'{}' is not auto, none, zstd or zstd:LEVEL with LEVEL from -7 to 19", text);
}

std::string check_session(const std::string& text) {
  return is_session_id(text) ? std::string() : fmt::format("'{}' is not a session id (32 hex digits)", text);
}

// Option texts that are converted to other types after parsing.
struct Raw {
  std::string to, tls_dir, max_bandwidth, ghost_limit;
  bool shell_job = false;
  double timeout_s = 0;
  std::string log_level = "warn";
};

void add_target(CLI::App& app, MigrateOptions& options, Raw& raw) {
  app.add_option("PID", options.pid, "Root of the process tree to move")
      ->check(cli::between(1, 4194304))
      ->type_name("");
  app.add_option("--to", raw.to, fmt::format("The destination's agent; default port {}", kDefaultPort))
      ->check(cli::check_peer_agent)
      ->type_name("HOST[:PORT]");
  app.add_option("--tls-dir", raw.tls_dir,
                 "Holds ca.pem, cert.pem and key.pem; default $CRX_TLS_DIR, then /etc/crx/tls")
      ->type_name("DIR");
  app.add_option("--tls-cacrl", options.tls_crl,
                 "The authority's list of revoked certificates; default crl.pem in that directory, if it is there")
      ->type_name("FILE");
  app.add_option("--state", options.state_dir, "Keeps the journal of this host's sessions; default /var/lib/crx")
      ->type_name("DIR");
  app.add_flag("--check-only", options.check_only, "Only say what would fail here and there; exit with 0 or 3")
      ->configurable(false);
}

void add_sessions(CLI::App& app, MigrateOptions& options) {
  const std::string group = "Sessions";
  const auto add = [&](const char* name, std::string& session, const char* help) {
    app.add_option(name, session, help)->check(check_session)->type_name("SESSION")->group(group)->configurable(false);
  };
  app.add_flag("--list", options.list, "Print this host's unfinished sessions")->group(group)->configurable(false);
  app.add_flag("--all", options.all, "With --list: finished sessions, too")->group(group)->configurable(false);
  add("--resolve", options.resolve,
      "Settle a session that ended in doubt: ask the destination, and end or resume the original");
  add("--adopt", options.adopt, "Let the original run on here, although the destination cannot be asked");
  add("--discard", options.discard, "End the original, although the destination cannot be asked");
}

void add_memory(CLI::App& app, MigrateOptions& options, Raw& raw) {
  const std::string group = "Copying";
  app.add_option("--max-downtime", options.max_downtime_ms, "How long the stop may take; default 50")
      ->check(cli::between(0, 3'600'000))
      ->type_name("MS")
      ->group(group);
  app.add_option("--max-rounds", options.max_rounds, "At most N pre-copy rounds, default 16; 0: stop and copy")
      ->check(cli::between(0, 10'000))
      ->type_name("N")
      ->group(group);
  cli::add_choice<OnNoConverge>(
      app, "--on-no-converge", options.on_no_converge,
      {{"accept", OnNoConverge::accept}, {"throttle", OnNoConverge::throttle}, {"fail", OnNoConverge::fail}},
      "accept|throttle|fail",
      "When rounds stop shrinking: stop anyway, slow the process down first, or give up; "
      "default throttle",
      group);
  app.add_option("--max-bandwidth", raw.max_bandwidth, "Bytes per second, such as 100M; default no limit")
      ->check(cli::check_size)
      ->type_name("RATE")
      ->group(group);
  app.add_option("--streams", options.streams, "Parallel data connections; default chosen from the cores")
      ->check(cli::between(1, 64))
      ->type_name("N")
      ->group(group);
  app.add_option("--compress", options.compress, "Default auto: what link and cores make fastest")
      ->check(check_compress)
      ->type_name("auto|none|zstd[:LEVEL]")
      ->group(group);
  cli::add_choice<TrackerChoice>(app, "--tracker", options.tracker,
                                 {{"auto", TrackerChoice::automatic},
                                  {"wp-async", TrackerChoice::wp_async},
                                  {"soft-dirty", TrackerChoice::soft_dirty},
                                  {"hash", TrackerChoice::hash}},
                                 "auto|wp-async|soft-dirty|hash", "How written pages are found; default auto", group);
  app.add_flag("--verify", options.verify, "Compare a digest of all memory on both sides before committing")
      ->group(group);
}

void add_resources(CLI::App& app, MigrateOptions& options, Raw& raw) {
  const std::string group = "What the process holds";
  app.add_flag("--with-files", options.with_files, "Carry along open files that differ or are missing there")
      ->group(group);
  app.add_option("--ghost-limit", raw.ghost_limit, "Largest unlinked file that is carried along; default 1M")
      ->check(cli::check_size)
      ->type_name("SIZE")
      ->group(group);
  app.add_flag("--shell-job", raw.shell_job, "Refused: use crx-dump and crx-restore, which can give a terminal")
      ->group(group);
  app.add_flag("--tcp-established", options.tcp_established, "Move established TCP connections")->group(group);
  app.add_flag("--ext-unix-sk", options.ext_unix_sk, "Allow unix sockets whose other end is outside the tree")
      ->group(group);
  app.add_flag("--file-locks", options.file_locks, "Move file locks")->group(group);
  app.add_flag("--link-remap", options.link_remap, "Give unlinked files that still have names elsewhere a name")
      ->group(group);
  cli::add_choice<ManageCgroups>(
      app, "--manage-cgroups", options.manage_cgroups, {{"none", ManageCgroups::none}, {"soft", ManageCgroups::soft}},
      "none|soft", "Whether the tree's cgroups are made again where the destination can; default soft", group);
  cli::add_choice<UnitPolicy>(
      app, "--unit", options.unit, {{"keep", UnitPolicy::keep}, {"stop", UnitPolicy::stop}}, "keep|stop",
      "Of a systemd unit that would start the program again: leave it, or stop it after the move", group);
  add_external(app, options.external_unix, group);
}

void add_control(CLI::App& app, MigrateOptions& options, Raw& raw) {
  const std::string group = "Control";
  app.add_option("--hook", options.hook,
                 "Run at pre-freeze, frozen, prepared, committed, resumed, aborted; a failure before the commit "
                 "rolls back")
      ->type_name("CMD")
      ->group(group);
  app.add_option("--hook-timeout", options.hook_timeout_ms, "Kill a hook that takes longer; default 10000")
      ->check(cli::between(1, 3'600'000))
      ->type_name("MS")
      ->group(group);
  app.add_option("--freeze-timeout", options.freeze_timeout_ms, "Give up freezing after so long; default 2000")
      ->check(cli::between(1, 3'600'000))
      ->type_name("MS")
      ->group(group);
  app.add_flag("--no-kernel-introspection", options.no_kernel_introspection,
               "Do not read the kernel's own structures: calls with a time limit may end late, asynchronous I/O and "
               "unread data of unaccepted connections are refused")
      ->group(group);
  app.add_flag(
         "--thaw", options.thaw,
         "Thaw the frozen control group of the program (a paused container) for the move, and keep it frozen there")
      ->group(group);
  app.add_option("--timeout", raw.timeout_s, "Roll back when not committed by then; default none")
      ->check(cli::between(0.0, 1e7))
      ->type_name("SEC")
      ->group(group);
  app.add_flag("-n,--new-pids", options.new_pids,
               "Give the tree a PID namespace of its own there, in which it keeps its numbers")
      ->group(group);
  app.add_flag("--wait", options.wait, "Stay, print and return the exit status of the moved program")->group(group);
}

void add_output(CLI::App& app, MigrateOptions& options, Raw& raw) {
  const std::string group = "Output";
  app.add_flag("--json", options.json, "One JSON object per line on stdout")->group(group);
  app.add_option("--report", options.report, "Write a page with the rounds and the cutover drawn")
      ->type_name("FILE.html")
      ->group(group);
  cli::add_choice<ProgressMode>(
      app, "--progress", options.progress,
      {{"auto", ProgressMode::automatic}, {"always", ProgressMode::always}, {"never", ProgressMode::never}},
      "auto|always|never", "A live line on a terminal; default auto", group);
  app.add_option("--log-level", raw.log_level, "Default warn")
      ->check(cli::one_of(std::vector<std::string>{"error", "warn", "info", "debug"}))
      ->type_name("error|warn|info|debug")
      ->group(group);
}

// Makes the checks and conversions that CLI11 does not; throws CLI::ParseError.
void finish(MigrateOptions& options, const Raw& raw, const cli::ConfigFile& config) {
  const auto wrong = [](const std::string& text) { return CLI::ParseError(text, CLI::ExitCodes::ValidationError); };
  const int others = (options.list ? 1 : 0) + (options.resolve.empty() ? 0 : 1) + (options.adopt.empty() ? 0 : 1) +
                     (options.discard.empty() ? 0 : 1);
  if (others > 1) throw wrong("--list, --resolve, --adopt and --discard do not go together");
  if (options.all && !options.list) throw wrong("--all goes with --list");
  if (others > 0) {
    if (options.pid != 0) throw wrong("--list, --resolve, --adopt and --discard take no PID");
  } else {
    if (options.pid == 0) throw wrong("PID is required: the root of the process tree to move");
    if (raw.to.empty()) throw wrong("--to is required: HOST or HOST:PORT of the destination's crx-agent");
  }
  if (raw.shell_job) {
    throw wrong(
        "--shell-job: crx-agent has no terminal that it could give to the program; dump the program with crx-dump "
        "--shell-job, and restore it at a terminal of the other host with crx-restore --shell-job");
  }
  if (!raw.to.empty()) options.to = *parse_agent_endpoint(raw.to);
  if (!raw.max_bandwidth.empty()) options.max_bandwidth = *parse_size(raw.max_bandwidth);
  if (!raw.max_bandwidth.empty() && options.max_bandwidth < 4096) throw wrong("--max-bandwidth must be at least 4K");
  if (!raw.ghost_limit.empty()) options.ghost_limit = *parse_size(raw.ghost_limit);
  options.timeout_ms = static_cast<int64_t>(raw.timeout_s * 1000);
  options.has_tls_dir = !raw.tls_dir.empty() && !config.gave("tls-dir");
  options.tls_dir = wire::tls_dir_or_default(raw.tls_dir);
  options.log_level = log::parse_level(raw.log_level);
}

}  // namespace

std::optional<uint64_t> parse_external(std::string_view text) {
  constexpr std::string_view kHead = "unix[";
  if (!text.starts_with(kHead) || !text.ends_with("]")) return std::nullopt;
  const std::string_view digits = text.substr(kHead.size(), text.size() - kHead.size() - 1);
  uint64_t inode = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), inode);
  if (error != std::errc() || end != digits.data() + digits.size() || inode == 0) return std::nullopt;
  return inode;
}

std::string external_problem(std::string_view text) {
  return fmt::format("'{}' is not unix[INODE]; resources of other types cannot be handed to the destination", text);
}

ParsedMigrateOptions parse_migrate_options(int argc, const char* const* argv) {
  MigrateOptions options;
  Raw raw;
  CLI::App app(kDescription, "crx-migrate");
  app.footer(kFooter);
  app.formatter(std::make_shared<cli::HelpFormatter>("crx-migrate --to HOST[:PORT] [OPTIONS] PID"));
  app.set_help_flag("-h,--help", "Print this help and exit");
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.set_version_flag("--version", version_text("crx-migrate"), "Print the version and exit");
  add_target(app, options, raw);
  add_sessions(app, options);
  add_memory(app, options, raw);
  add_resources(app, options, raw);
  add_control(app, options, raw);
  add_output(app, options, raw);
  const auto config = cli::add_config_file(app, "migrate");
  try {
    app.parse(argc, argv);
    finish(options, raw, *config);
    return {std::move(options), 0, {}};
  } catch (const CLI::Success& asked) {  // --help, --version
    std::ostringstream out;
    app.exit(asked, out, out);
    return {std::nullopt, 0, out.str()};
  } catch (const CLI::ParseError& error) {
    return {std::nullopt, 2,
            fmt::format("crx-migrate: {}\nTry 'crx-migrate --help' for more.\n", config->explain(error))};
  }
}

}  // namespace crx
