// The command line of crx-migrate.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/endpoint.hpp"
#include "common/base/log.hpp"
#include "common/tool/parsed.hpp"

namespace crx {

enum class OnNoConverge : uint8_t { accept, throttle, fail };
enum class TrackerChoice : uint8_t { automatic, wp_async, soft_dirty, hash };
enum class ManageCgroups : uint8_t { none, soft };
enum class UnitPolicy : uint8_t { refuse, keep, stop };
enum class ProgressMode : uint8_t { automatic, always, never };

// All options of crx-migrate; parsed once, then passed const. The initial values are the options' defaults.
struct MigrateOptions {
  pid_t pid = 0;
  Endpoint to;
  std::string tls_dir;                     // resolved: --tls-dir, $CRX_TLS_DIR, or /etc/crx/tls
  bool has_tls_dir = false;                // --tls-dir was given on the command line
  std::string tls_crl;                     // --tls-cacrl; empty: tls_dir/crl.pem, if that exists
  std::string state_dir = "/var/lib/crx";  // holds journal/
  bool check_only = false;

  int64_t max_downtime_ms = 50;
  uint32_t max_rounds = 16;  // 0: stop and copy
  OnNoConverge on_no_converge = OnNoConverge::throttle;
  uint64_t max_bandwidth = 0;     // bytes per second; 0: no limit
  uint32_t streams = 0;           // 0: chosen by the number of cores
  std::string compress = "auto";  // "auto", "none", "zstd", "zstd:LEVEL" with LEVEL -7..19
  TrackerChoice tracker = TrackerChoice::automatic;
  bool verify = false;
  bool with_files = false;
  int64_t freeze_timeout_ms = 2000;
  bool no_kernel_introspection = false;
  bool thaw = false;       // thaw the control group that keeps the tree from running, and freeze it at the destination
  int64_t timeout_ms = 0;  // time limit until the commit; 0: none
  bool wait = false;
  bool new_pids = false;  // restore into a PID namespace of its own at the destination

  bool tcp_established = false;
  bool ext_unix_sk = false;
  bool file_locks = false;
  bool link_remap = false;
  ManageCgroups manage_cgroups = ManageCgroups::soft;
  UnitPolicy unit = UnitPolicy::refuse;      // for a systemd unit whose main process moves
  uint64_t ghost_limit = uint64_t{1} << 20;  // largest deleted file, in bytes, that is carried along
  std::set<uint64_t> external_unix;          // --external unix[INODE]

  std::string hook;  // empty: none
  int64_t hook_timeout_ms = 10'000;

  bool json = false;
  std::string report;  // a path; empty: none
  ProgressMode progress = ProgressMode::automatic;
  log::Level log_level = log::Level::warn;

  // Instead of a PID: a session to settle, of which one at most is set; or a list of sessions.
  std::string resolve, adopt, discard;
  bool list = false;
  bool all = false;  // with list: finished sessions, too

  std::string session;  // the id of the new session, which main makes; empty: the migration makes one itself
};

// The result of parsing: options, or a text to print and an exit code (help, version, a usage error).
using ParsedMigrateOptions = Parsed<MigrateOptions>;

// Returns the inode in "unix[INODE]" of --external. Nothing for any other resource; external_problem() says why.
std::optional<uint64_t> parse_external(std::string_view text);
std::string external_problem(std::string_view text);

// argv as main gets it. Wrong input by the user never throws.
ParsedMigrateOptions parse_migrate_options(int argc, const char* const* argv);

}  // namespace crx
