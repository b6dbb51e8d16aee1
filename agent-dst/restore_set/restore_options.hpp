// The command line of crx-restore.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/base/log.hpp"
#include "common/tool/parsed.hpp"

namespace crx {

// All options of crx-restore; parsed once, then passed as const.
struct RestoreOptions {
  std::string images_dir;  // -D, or the set --name of --store
  bool detached = false;   // -d
  bool shell_job = false;
  bool check_only = false;
  bool new_pids = false;  // -n: in a new PID namespace
  bool cgroups = true;    // --manage-cgroups soft
  bool require_signature = false;
  std::string tls_dir, tls_crl;  // the authority and its list of revoked certificates, for require_signature
  std::string pidfile;
  bool json = false;
  log::Level log_level = log::Level::warn;
};

using ParsedRestoreOptions = Parsed<RestoreOptions>;

// argv: as main() receives it. Does not throw for user errors.
ParsedRestoreOptions parse_restore_options(int argc, const char* const* argv);

}  // namespace crx
