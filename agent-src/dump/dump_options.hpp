// Parses the command line of crx-dump.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent-src/tool/migrate_options.hpp"
#include "common/base/endpoint.hpp"
#include "common/base/log.hpp"
#include "common/tool/parsed.hpp"

namespace crx {

// All options of crx-dump. They are parsed once and then passed as const.
struct DumpOptions {
  pid_t pid = 0;
  std::string images_dir;       // -D
  bool leave_running = false;   // -R
  bool pre = false;             // only memory is dumped; the process keeps running
  bool track_mem = false;       // the next dump writes only what is written from now on
  std::string prev_images_dir;  // a path relative to images_dir
  bool auto_dedup = false;
  bool check_only = false;
  bool sign = false;  // with the certificate and key of tls_dir

  bool shell_job = false;
  bool tcp_established = false;
  bool ext_unix_sk = false;
  bool file_locks = false;
  bool link_remap = false;
  UnitPolicy unit = UnitPolicy::refuse;
  uint64_t ghost_limit = uint64_t{1} << 20;
  std::set<uint64_t> external_unix;  // --external unix[INODE]
  int64_t freeze_timeout_ms = 2000;
  bool no_kernel_introspection = false;
  bool thaw = false;  // thaw the control group that keeps the tree from running meanwhile

  Endpoint to;                 // --to: an agent that stores the set
  std::string name, prev_set;  // --name, --prev-set
  std::string tls_dir, tls_crl;
  Endpoint page_server;  // --page-server
  bool insecure = false;

  std::string run_dir = "/run/crx";  // the directory of the sockets of the tracking daemons
  bool json = false;
  log::Level log_level = log::Level::warn;
};

using ParsedDumpOptions = Parsed<DumpOptions>;

// Parses argv as main gets it. Never throws because of what a user wrote: the result then has no options.
ParsedDumpOptions parse_dump_options(int argc, const char* const* argv);

}  // namespace crx
