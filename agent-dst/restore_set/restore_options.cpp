#include "agent-dst/restore_set/restore_options.hpp"

#include <fmt/format.h>

#include <memory>
#include <sstream>
#include <vector>

#include "common/base/version.hpp"
#include "common/image/set_name.hpp"
#include "common/tool/command_line.hpp"
#include "common/tool/config_file.hpp"
#include "wire/connection/tls_dir.hpp"

namespace crx {
namespace {

constexpr char kDescription[] =
    "Restores the process tree in an image set. The images stay, so that it can be restored again.\n"
    "The author of the set can do anything that root can: restore only sets of people you trust as root.\n"
    "Without -d it waits, passes signals on to the tree's root, and exits with the root's status.";
constexpr char kFooter[] =
    "Exit status:\n"
    "  0  with -d: restored; else the exit status of the tree's root (128 + N when signal N ended it)\n"
    "  1  failed; nothing runs\n"
    "  2  wrong usage\n"
    "  3  with --check-only: something would fail here\n"
    "\n"
    "Example: crx-restore -D /var/tmp/set -d --pidfile /run/program.pid";

// Texts as the user wrote them.
struct Raw {
  std::string store, name, tls_dir;
  std::string log_level = "warn";
};

void add_options(CLI::App& app, RestoreOptions& options, Raw& raw) {
  app.add_option("-D,--images-dir", options.images_dir, "The image set")->type_name("DIR")->configurable(false);
  app.add_option("--store", raw.store, "The store of an agent; with --name in place of -D")->type_name("DIR");
  app.add_option("--name", raw.name, "A set in the store")->type_name("SET")->configurable(false);
  app.add_flag("-d,--restore-detached", options.detached, "Exit as soon as the tree runs");
  app.add_option("--pidfile", options.pidfile, "Write the root's PID to a file")
      ->type_name("FILE")
      ->configurable(false);
  app.add_flag("-j,--shell-job", options.shell_job, "The tree belongs to the posix session of a shell outside of it");
  app.add_flag("-n,--new-pids", options.new_pids, "Restore in a PID namespace of its own, with its own /proc");
  app.add_option_function<std::string>(
         "--manage-cgroups", [&options](const std::string& text) { options.cgroups = text == "soft"; },
         "Whether to create the tree's cgroups where possible (soft) or not (none); default soft")
      ->check(cli::one_of(std::vector<std::string>{"none", "soft"}))
      ->type_name("none|soft");
  app.add_flag("--require-signature", options.require_signature,
               "Take only a set that crx-dump --sign made on a host of this authority; prints the host's name");
  app.add_option("--tls-dir", raw.tls_dir, "Holds the authority's ca.pem; default $CRX_TLS_DIR, then /etc/crx/tls")
      ->type_name("DIR");
  app.add_option("--tls-cacrl", options.tls_crl,
                 "The authority's list of revoked certificates; default crl.pem in that directory, if it is there")
      ->type_name("FILE");
  app.add_flag("--check-only", options.check_only, "Only report what would fail here; exit with 0 or 3")
      ->configurable(false);
  app.add_flag("--json", options.json, "Print JSON objects on stdout");
  app.add_option("--log-level", raw.log_level, "Default warn")
      ->check(cli::one_of(std::vector<std::string>{"error", "warn", "info", "debug"}))
      ->type_name("error|warn|info|debug");
}

// Makes the checks that CLI11 cannot make; throws CLI::ParseError.
void finish(RestoreOptions& options, const Raw& raw, const cli::ConfigFile& config) {
  const auto wrong = [](const std::string& text) { return CLI::ParseError(text, CLI::ExitCodes::ValidationError); };
  if (options.images_dir.starts_with('-')) {
    throw wrong("'" + options.images_dir + "' is an option, not a directory; one of that name is ./" +
                options.images_dir);
  }
  if (options.images_dir.empty() == raw.name.empty()) throw wrong("either -D or --name is required: the image set");
  if (!raw.name.empty()) {
    // A name must not lead out of the store.
    if (!valid_set_name(raw.name)) throw wrong("'" + raw.name + "' is not the name of a set");
    options.images_dir = (raw.store.empty() ? std::string("/var/lib/crx") : raw.store) + "/" + raw.name;
  } else if (!raw.store.empty() && !config.gave("store")) {
    throw wrong("--store needs --name");
  }
  const bool keys_given =
      (!raw.tls_dir.empty() && !config.gave("tls-dir")) || (!options.tls_crl.empty() && !config.gave("tls-cacrl"));
  if (!options.require_signature && keys_given) throw wrong("--tls-dir and --tls-cacrl are for --require-signature");
  options.tls_dir = wire::tls_dir_or_default(raw.tls_dir);
  options.log_level = log::parse_level(raw.log_level);
}

}  // namespace

ParsedRestoreOptions parse_restore_options(int argc, const char* const* argv) {
  RestoreOptions options;
  Raw raw;
  CLI::App app(kDescription, "crx-restore");
  app.footer(kFooter);
  app.formatter(std::make_shared<cli::HelpFormatter>("crx-restore -D DIR [OPTIONS]"));
  app.set_help_flag("-h,--help", "Print this help and exit");
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.set_version_flag("--version", version_text("crx-restore"), "Print the version and exit");
  add_options(app, options, raw);
  const auto config = cli::add_config_file(app, "restore");
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
            fmt::format("crx-restore: {}\nTry 'crx-restore --help' for more.\n", config->explain(error))};
  }
}

}  // namespace crx
