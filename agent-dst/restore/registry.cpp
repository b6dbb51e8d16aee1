// All restorers but those of descriptors, registers and control groups (see kind/registry.hpp).
#include "agent-dst/restore/kind/registry.hpp"

namespace crx {

// The order matters in plan_last: limits and credentials remove privileges that the others need.
std::vector<RestorerPtr> make_restorers() {
  std::vector<RestorerPtr> all;
  all.push_back(make_fs_restorer());
  all.push_back(make_file_locks_restorer());
  all.push_back(make_aio_rings_restorer());
  all.push_back(make_sysv_ipc_restorer());
  all.push_back(make_terminal_sessions_restorer());
  all.push_back(make_sigactions_restorer());
  all.push_back(make_thread_state_restorer());
  all.push_back(make_signals_restorer());
  all.push_back(make_interval_timers_restorer());
  all.push_back(make_posix_timers_restorer());
  all.push_back(make_process_flags_restorer());
  all.push_back(make_thread_flags_restorer());
  all.push_back(make_scheduling_restorer());
  all.push_back(make_seccomp_restorer());
  all.push_back(make_rlimits_restorer());
  all.push_back(make_credentials_restorer());
  return all;
}

}  // namespace crx
