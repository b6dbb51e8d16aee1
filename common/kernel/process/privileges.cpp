#include "common/kernel/process/privileges.hpp"

#include <linux/capability.h>
#include <unistd.h>

#include <cstdint>
#include <optional>

#include "common/proc/proc_dir.hpp"
#include "common/proc/status.hpp"

namespace crx {

bool may_trace(pid_t pid) {
  if (::geteuid() == 0) return true;
  const std::optional<ProcDir> process = ProcDir::open(pid);
  const std::optional<proc::Status> its = process ? process->status() : std::nullopt;
  if (!its || its->uid.real == ::getuid()) return true;
  const std::optional<ProcDir> self = ProcDir::open(::getpid());
  const std::optional<proc::Status> own = self ? self->status() : std::nullopt;
  return own && (own->cap_effective & (uint64_t{1} << CAP_SYS_PTRACE)) != 0;
}

}  // namespace crx
