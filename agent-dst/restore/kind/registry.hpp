// The resource kinds at the destination, each in the file of its name (the same as in agent-src/collect). To add a
// kind: a pair of files, a line in this header and one in registry.cpp. Descriptors are in fd_registry.cpp;
// load_registers.hpp and cgroups.hpp are called by TaskRestore and TreeRestore at times of their own.
#pragma once

#include <memory>

#include "agent-dst/restore/kind/restorer.hpp"

namespace crx {

using RestorerPtr = std::unique_ptr<Restorer>;

RestorerPtr make_signals_restorer();
RestorerPtr make_sigactions_restorer();
RestorerPtr make_thread_state_restorer();
RestorerPtr make_credentials_restorer();
RestorerPtr make_interval_timers_restorer();
RestorerPtr make_posix_timers_restorer();
RestorerPtr make_process_flags_restorer();
RestorerPtr make_thread_flags_restorer();
RestorerPtr make_scheduling_restorer();
RestorerPtr make_seccomp_restorer();
RestorerPtr make_rlimits_restorer();
RestorerPtr make_fs_restorer();
RestorerPtr make_file_locks_restorer();
RestorerPtr make_aio_rings_restorer();
RestorerPtr make_sysv_ipc_restorer();
RestorerPtr make_terminal_sessions_restorer();

}  // namespace crx
