#include "common/kernel/process/pid_holder.hpp"

#include <fmt/format.h>

#include <optional>

#include "common/proc/proc_dir.hpp"
#include "common/proc/stat.hpp"

namespace crx {
namespace {

// A process whose first thread has ended, while others run, is in state Z as well.
bool is_unreaped(const proc::Stat& stat) {
  return stat.state == 'Z' && stat.num_threads <= 1;
}

}  // namespace

PidHolder holder_of(pid_t number) {
  const std::optional<ProcDir> process = ProcDir::open(number);
  const std::optional<proc::Stat> stat = process ? process->stat() : std::nullopt;
  if (!stat) return {"is taken by another task, process group or session", "end that process"};
  if (!is_unreaped(*stat)) return {fmt::format("is taken by \"{}\"", stat->comm), "end that process"};
  return {fmt::format("is held by a zombie, \"{}\", which its parent \"{}\" (PID {}) has not reaped", stat->comm,
                      comm_of(stat->ppid), stat->ppid),
          fmt::format("have process {} reap it, or end that process", stat->ppid)};
}

}  // namespace crx
