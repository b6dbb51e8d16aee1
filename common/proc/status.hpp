// Parses /proc/PID/status and /proc/PID/task/TID/status (proc_pid_status(5), fs/proc/array.c).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace crx::proc {

// The four user or group ids of a task (credentials(7)).
struct FourIds {
  uint32_t real = 0;
  uint32_t effective = 0;
  uint32_t saved = 0;
  uint32_t filesystem = 0;
  bool operator==(const FourIds&) const = default;
};

// Fields that a kernel does not print (or that a zombie lacks) keep their defaults; they are std::optional where the
// difference matters. In signal masks bit 0 is signal 1. Sizes are in KiB, as printed.
struct Status {
  std::string name;  // unescaped: arbitrary bytes except NUL
  std::optional<uint32_t> umask;
  char state = '?';  // R S D T t X Z P I
  int32_t tgid = 0;
  int32_t pid = 0;
  int32_t ppid = 0;
  int32_t tracer_pid = 0;
  FourIds uid;
  FourIds gid;
  std::vector<uint32_t> groups;
  std::vector<int32_t> ns_tgid;  // in the reader's (outermost visible) namespace first, the innermost last
  std::vector<int32_t> ns_pid;
  std::vector<int32_t> ns_pgid;
  std::vector<int32_t> ns_sid;
  bool kernel_thread = false;
  uint64_t vm_size_kib = 0;
  uint64_t vm_locked_kib = 0;
  uint64_t vm_pinned_kib = 0;
  uint64_t vm_rss_kib = 0;
  uint64_t rss_anon_kib = 0;
  uint64_t rss_file_kib = 0;
  uint64_t rss_shmem_kib = 0;
  uint64_t vm_swap_kib = 0;
  uint64_t hugetlb_kib = 0;
  bool core_dumping = false;
  std::optional<bool> thp_enabled;  // false: PR_SET_THP_DISABLE (Linux 5.0)
  std::optional<uint64_t> untag_mask;
  uint32_t threads = 0;
  uint64_t queued_signals = 0;  // SigQ: signals queued for the real user id
  uint64_t queued_signals_limit = 0;
  uint64_t pending = 0;         // SigPnd: pending for the thread
  uint64_t shared_pending = 0;  // ShdPnd: pending for the process
  uint64_t blocked = 0;
  uint64_t ignored = 0;
  uint64_t caught = 0;
  uint64_t cap_inheritable = 0;
  uint64_t cap_permitted = 0;
  uint64_t cap_effective = 0;
  uint64_t cap_bounding = 0;
  uint64_t cap_ambient = 0;
  bool no_new_privs = false;
  uint32_t seccomp = 0;                     // 0 disabled, 1 strict, 2 filter
  std::optional<uint32_t> seccomp_filters;  // Linux 5.9
  std::string speculation_store_bypass;
  std::string speculation_indirect_branch;
  std::vector<uint32_t> cpus_allowed;  // words of 32 bits; CPU 0 is bit 0 of the first word
  std::vector<uint32_t> mems_allowed;  // the same format for NUMA nodes
  std::string x86_thread_features;     // "shstk wrss"; empty when none is on
  std::string x86_thread_features_locked;
  uint64_t voluntary_switches = 0;
  uint64_t involuntary_switches = 0;
};

// Unknown lines are skipped. Throws Error(kernel) for a known line with an unexpected format, and for a text without
// Name, State and Pid.
Status parse_status(std::string_view text);

}  // namespace crx::proc
