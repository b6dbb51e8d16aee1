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

namespace crx {

enum class OnNoConverge : uint8_t { accept, throttle, fail };
enum class TrackerChoice : uint8_t { automatic, wp_async, soft_dirty, hash };
enum class ManageCgroups : uint8_t { none, soft };
enum class UnitPolicy : uint8_t { refuse, keep, stop };
enum class ProgressMode : uint8_t { automatic, always, never };

// Everything crx-migrate can be told; parsed once, then passed const. The defaults are those of the options.
struct MigrateOptions {
  pid_t pid = 0;
  Endpoint to;
  std::string tls_dir;                     // resolved: --tls-dir, $CRX_TLS_DIR, /etc/crx/tls
  std::string state_dir = "/var/lib/crx";  // holds journal/
  bool check_only = false;

  int64_t max_downtime_ms = 50;
  uint32_t max_rounds = 16;  // 0: stop and copy
  OnNoConverge on_no_converge = OnNoConverge::throttle;
  uint64_t max_bandwidth = 0;     // bytes per second; 0: no limit
  uint32_t streams = 0;           // 0: chosen from the cores
  std::string compress = "auto";  // "auto", "none", "zstd", "zstd:LEVEL" with LEVEL -7..19
  TrackerChoice tracker = TrackerChoice::automatic;
  bool verify = false;
  bool with_files = false;
  int64_t freeze_timeout_ms = 2000;
  int64_t timeout_ms = 0;  // until committed; 0: none
  bool wait = false;
  bool new_pids = false;  // at the destination: a PID namespace of its own

  bool shell_job = false;
  bool tcp_established = false;
  bool ext_unix_sk = false;
  bool file_locks = false;
  bool link_remap = false;
  ManageCgroups manage_cgroups = ManageCgroups::soft;
  UnitPolicy unit = UnitPolicy::refuse;      // of the systemd unit whose main process moves
  uint64_t ghost_limit = uint64_t{1} << 20;  // bytes of an unlinked file that are carried along
  std::set<uint64_t> external_unix;          // --external unix[INODE]

  std::string hook;  // empty: none
  int64_t hook_timeout_ms = 10'000;

  bool json = false;
  std::string report;  // a path; empty: none
  ProgressMode progress = ProgressMode::automatic;
  log::Level log_level = log::Level::warn;

  std::string resolve;  // --resolve SESSION instead of a PID
};

// What parsing gives: options, or what to print and exit with (help, version, a usage error).
struct ParsedMigrateOptions {
  std::optional<MigrateOptions> options;
  int exit_code = 0;
  std::string text;  // for stdout when exit_code is 0, else for stderr
};

// "unix[INODE]" of --external: the inode. Nothing for any other resource; external_problem says why.
std::optional<uint64_t> parse_external(std::string_view text);
std::string external_problem(std::string_view text);

// argv as main gets it. Never throws for what a user wrote.
ParsedMigrateOptions parse_migrate_options(int argc, const char* const* argv);

}  // namespace crx
