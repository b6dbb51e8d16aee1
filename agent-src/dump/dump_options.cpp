#include "agent-src/dump/dump_options.hpp"

#include <fmt/format.h>

#include <memory>
#include <sstream>

#include "agent-src/tool/external_option.hpp"
#include "common/base/version.hpp"
#include "common/image/set_name.hpp"
#include "common/tool/command_line.hpp"
#include "common/tool/config_file.hpp"
#include "wire/connection/tls_dir.hpp"
#include "wire/source/connect.hpp"

namespace crx {
namespace {

constexpr char kDescription[] =
    "Writes the running process tree rooted at PID to image files. The tree ends then, unless --leave-running or "
    "--pre\n"
    "is given; when anything fails it runs on unharmed.";
constexpr char kFooter[] =
    "SIZE takes the suffixes K, M, G, T (powers of 1024).\n"
    "\n"
    "Exit status:\n"
    "  0  the images are complete and on the disk\n"
    "  1  failed; the process runs on\n"
    "  2  wrong usage\n"
    "  3  refused: the process holds something that cannot be dumped; nothing was touched\n"
    "\n"
    "Example: crx-dump -t $(pidof -s program) -D /var/tmp/set";

struct Raw {
  std::string ghost_limit, page_server, tls_dir, to;
  std::string log_level = "warn";
};

void add_target(CLI::App& app, DumpOptions& options) {
  app.add_option("-t,--tree", options.pid, "Root of the process tree to dump")
      ->check(cli::between(1, 4194304))
      ->type_name("PID")
      ->configurable(false);
  app.add_option("-D,--images-dir", options.images_dir, "Where the images go; made where it is missing")
      ->type_name("DIR")
      ->configurable(false);
  app.add_flag("-R,--leave-running", options.leave_running, "The tree runs on afterwards");
  app.add_flag("--check-only", options.check_only,
               "Do everything short of stopping the tree for good; the set has no pages, and its restore only checks")
      ->configurable(false);
}

void add_memory(CLI::App& app, DumpOptions& options) {
  const std::string group = "Incremental sets";
  app.add_flag("--pre", options.pre, "Memory only; the tree keeps running. Implies --track-mem")
      ->group(group)
      ->configurable(false);
  app.add_flag("--track-mem", options.track_mem, "Track memory from now on, so that the next dump writes only changes")
      ->group(group);
  app.add_option("--prev-images-dir", options.prev_images_dir,
                 "The set that this one continues; relative to the images' directory")
      ->type_name("REL")
      ->group(group)
      ->configurable(false);
  app.add_flag("--auto-dedup", options.auto_dedup, "Free the pages of earlier sets that this one replaces")
      ->group(group);
}

void add_keys(CLI::App& app, DumpOptions& options, Raw& raw) {
  const std::string group = "Keys";
  app.add_flag("--sign", options.sign,
               "Sign the set with this host's certificate; crx-restore --require-signature takes no other sets")
      ->group(group);
  app.add_option("--tls-dir", raw.tls_dir,
                 "Holds ca.pem, cert.pem and key.pem; default $CRX_TLS_DIR, then /etc/crx/tls")
      ->type_name("DIR")
      ->group(group);
  app.add_option("--tls-cacrl", options.tls_crl,
                 "The authority's list of revoked certificates; default crl.pem in that directory, if it is there")
      ->type_name("FILE")
      ->group(group);
}

void add_remote(CLI::App& app, DumpOptions& options, Raw& raw) {
  const std::string group = "To another host";
  app.add_option("--to", raw.to, "A crx-agent that keeps the set in its store; nothing is written here")
      ->check(cli::check_peer_agent)
      ->type_name("HOST[:PORT]")
      ->group(group);
  app.add_option("--name", options.name, "What the set is called there: letters, digits, '.', '_', '-'")
      ->type_name("SET")
      ->group(group)
      ->configurable(false);
  app.add_option("--prev-set", options.prev_set, "The set there that this one continues")
      ->type_name("SET")
      ->group(group)
      ->configurable(false);
  app.add_option("--page-server", raw.page_server, "Send the pages to a page server: crx-agent's or CRIU's")
      ->check(cli::check_peer_endpoint)
      ->type_name("HOST:PORT")
      ->group(group);
  app.add_flag("--insecure", options.insecure, "Plain text, to a page server on this host only")->group(group);
}

void add_resources(CLI::App& app, DumpOptions& options, Raw& raw) {
  const std::string group = "What the tree holds";
  app.add_option("--ghost-limit", raw.ghost_limit, "Largest unlinked file that is carried along; default 1M")
      ->check(cli::check_size)
      ->type_name("SIZE")
      ->group(group);
  app.add_flag("-j,--shell-job", options.shell_job, "The tree belongs to a session begun outside of it")->group(group);
  app.add_flag("--tcp-established", options.tcp_established,
               "Dump TCP connections to other programs, on this host or others; their packets are held back until "
               "crx-restore")
      ->group(group);
  app.add_flag("--ext-unix-sk", options.ext_unix_sk, "Allow unix sockets whose other end is outside the tree")
      ->group(group);
  app.add_flag("--file-locks", options.file_locks, "Dump file locks")->group(group);
  app.add_flag("--link-remap", options.link_remap, "Give unlinked files that still have names elsewhere a name")
      ->group(group);
  cli::add_choice<UnitPolicy>(
      app, "--unit", options.unit, {{"keep", UnitPolicy::keep}, {"stop", UnitPolicy::stop}}, "keep|stop",
      "Of a systemd unit that would start the program again: leave it, or stop it after the dump", group);
  add_external(app, options.external_unix, group);
}

void add_control(CLI::App& app, DumpOptions& options, Raw& raw) {
  const std::string group = "Control";
  app.add_option("--freeze-timeout", options.freeze_timeout_ms, "Give up freezing after so long; default 2000")
      ->check(cli::between(1, 3'600'000))
      ->type_name("MS")
      ->group(group);
  app.add_flag("--no-kernel-introspection", options.no_kernel_introspection,
               "Do not read the kernel's own structures: calls with a time limit may end late, asynchronous I/O and "
               "unread data of unaccepted connections are refused")
      ->group(group);
  app.add_flag("--thaw", options.thaw,
               "Thaw the frozen control group of the program (a paused container) for the dump, and freeze it again")
      ->group(group);
  app.add_flag("--json", options.json, "One JSON object on stdout")->group(group);
  app.add_option("--log-level", raw.log_level, "Default warn")
      ->check(cli::one_of(std::vector<std::string>{"error", "warn", "info", "debug"}))
      ->type_name("error|warn|info|debug")
      ->group(group);
}

// Completes the options that say whether the set goes into the store of an agent or into a directory here. Throws
// CLI::ParseError.
void finish_to(DumpOptions& options, const Raw& raw) {
  const auto wrong = [](const std::string& text) { return CLI::ParseError(text, CLI::ExitCodes::ValidationError); };
  if (raw.to.empty()) {
    if (options.images_dir.empty()) throw wrong("-D or --to is required: where the images go");
    if (!options.name.empty() || !options.prev_set.empty()) throw wrong("--name and --prev-set are for --to");
    return;
  }
  options.to = *parse_agent_endpoint(raw.to);
  if (!options.images_dir.empty()) throw wrong("-D and --to exclude each other: with --to nothing is written here");
  if (!valid_set_name(options.name)) {
    throw wrong(options.name.empty() ? "--to needs --name, the name of the set there"
                                     : "'" + options.name + "' is not the name of a set");
  }
  if (!options.prev_set.empty() && !valid_set_name(options.prev_set))
    throw wrong("'" + options.prev_set + "' is not the name of a set");
  if (options.prev_set == options.name) throw wrong("a set cannot continue itself");
  if (!raw.page_server.empty() || !options.prev_images_dir.empty() || options.auto_dedup || options.insecure) {
    throw wrong("--to goes with none of --page-server, --insecure, --prev-images-dir (use --prev-set), --auto-dedup");
  }
}

// Checks what CLI11 cannot check by itself, and completes the options. Throws CLI::ParseError.
void finish(DumpOptions& options, const Raw& raw) {
  const auto wrong = [](const std::string& text) { return CLI::ParseError(text, CLI::ExitCodes::ValidationError); };
  if (options.pid == 0) throw wrong("-t is required: the root of the process tree to dump");
  finish_to(options, raw);
  // "-D $DIR -R" with an empty DIR would take -R as the directory and end the process, so it is an error.
  for (const std::string& dir : {options.images_dir, options.prev_images_dir}) {
    if (dir.starts_with('-')) throw wrong("'" + dir + "' is an option, not a directory; one of that name is ./" + dir);
  }
  if (options.pre && options.check_only) throw wrong("--pre and --check-only exclude each other");
  if (options.prev_images_dir.starts_with('/')) {
    throw wrong("--prev-images-dir is relative to the images' directory, such as ../1");
  }
  if (options.auto_dedup && options.prev_images_dir.empty()) throw wrong("--auto-dedup needs --prev-images-dir");
  if (options.auto_dedup && options.sign)
    throw wrong("--auto-dedup would void the signatures of the parents: it does not go with --sign");
  if (options.check_only && (options.track_mem || !options.prev_images_dir.empty() || !options.prev_set.empty())) {
    throw wrong("--check-only writes no memory: it takes no --track-mem, no --prev-images-dir and no --prev-set");
  }
  if (!raw.page_server.empty()) {
    options.page_server = *parse_endpoint(raw.page_server);
    if (options.check_only || options.auto_dedup) {
      throw wrong("--page-server goes with neither --check-only nor --auto-dedup");
    }
    if (options.sign) throw wrong("--sign covers no pages that go elsewhere: it does not go with --page-server");
    const std::string& host = options.page_server.host;
    if (options.insecure && host != "localhost" && host != "::1" && !host.starts_with("127.")) {
      throw wrong("--insecure is for a page server on this host; use TLS");
    }
  }
  options.tls_dir = wire::tls_dir_or_default(raw.tls_dir);
  if (options.pre) options.track_mem = options.leave_running = true;
  if (!raw.ghost_limit.empty()) options.ghost_limit = *parse_size(raw.ghost_limit);
  options.log_level = log::parse_level(raw.log_level);
}

}  // namespace

ParsedDumpOptions parse_dump_options(int argc, const char* const* argv) {
  DumpOptions options;
  Raw raw;
  CLI::App app(kDescription, "crx-dump");
  app.footer(kFooter);
  app.formatter(
      std::make_shared<cli::HelpFormatter>("crx-dump -t PID (-D DIR | --to HOST[:PORT] --name SET) [OPTIONS]"));
  app.set_help_flag("-h,--help", "Print this help and exit");
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.set_version_flag("--version", version_text("crx-dump"), "Print the version and exit");
  add_target(app, options);
  add_memory(app, options);
  add_keys(app, options, raw);
  add_remote(app, options, raw);
  add_resources(app, options, raw);
  add_control(app, options, raw);
  const auto config = cli::add_config_file(app, "dump");
  try {
    app.parse(argc, argv);
    finish(options, raw);
    return {std::move(options), 0, {}};
  } catch (const CLI::Success& asked) {  // the user asked for --help or --version
    std::ostringstream out;
    app.exit(asked, out, out);
    return {std::nullopt, 0, out.str()};
  } catch (const CLI::ParseError& error) {
    return {std::nullopt, 2, fmt::format("crx-dump: {}\nTry 'crx-dump --help' for more.\n", config->explain(error))};
  }
}

}  // namespace crx
