// All collectors, in the order in which they collect.
#include "agent-src/collect/kind/registry.hpp"

namespace crx {

std::vector<CollectorPtr> make_collectors() {
  std::vector<CollectorPtr> all;
  all.push_back(make_eligibility_collector());
  all.push_back(make_aio_rings_collector());
  all.push_back(make_core_registers_collector());
  all.push_back(make_signals_collector());
  all.push_back(make_sigactions_collector());
  all.push_back(make_thread_state_collector());
  all.push_back(make_credentials_collector());
  all.push_back(make_interval_timers_collector());
  all.push_back(make_posix_timers_collector());
  all.push_back(make_rlimits_collector());
  all.push_back(make_scheduling_collector());
  all.push_back(make_process_flags_collector());
  all.push_back(make_thread_flags_collector());
  all.push_back(make_seccomp_collector());
  all.push_back(make_fs_collector());
  all.push_back(make_cgroups_collector());
  all.push_back(make_keyrings_collector());
  all.push_back(make_segments_collector());
  all.push_back(make_descriptors_collector());
  all.push_back(make_sysv_ipc_collector());
  all.push_back(make_terminal_sessions_collector());
  // The last two write what all others have put into the table of files.
  all.push_back(make_ghost_files_collector());
  all.push_back(make_files_collector());
  return all;
}

}  // namespace crx
