// The resource kinds at the source, each in the file of its name. To add a kind: a pair of files (here and in
// agent-dst/restore), a line in this header and one in registry.cpp. Kinds of descriptors are in fd_registry.cpp.
#pragma once

#include <memory>

#include "agent-src/collect/kind/collector.hpp"

namespace crx {

using CollectorPtr = std::unique_ptr<Collector>;

CollectorPtr make_eligibility_collector();
CollectorPtr make_aio_rings_collector();
CollectorPtr make_core_registers_collector();
CollectorPtr make_signals_collector();
CollectorPtr make_sigactions_collector();
CollectorPtr make_thread_state_collector();
CollectorPtr make_credentials_collector();
CollectorPtr make_interval_timers_collector();
CollectorPtr make_posix_timers_collector();
CollectorPtr make_rlimits_collector();
CollectorPtr make_scheduling_collector();
CollectorPtr make_process_flags_collector();
CollectorPtr make_thread_flags_collector();
CollectorPtr make_seccomp_collector();
CollectorPtr make_fs_collector();
CollectorPtr make_cgroups_collector();
CollectorPtr make_keyrings_collector();
CollectorPtr make_segments_collector();
CollectorPtr make_descriptors_collector();
CollectorPtr make_sysv_ipc_collector();
CollectorPtr make_terminal_sessions_collector();
CollectorPtr make_ghost_files_collector();
CollectorPtr make_files_collector();

}  // namespace crx
