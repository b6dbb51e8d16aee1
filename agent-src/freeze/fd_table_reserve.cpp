#include "agent-src/freeze/fd_table_reserve.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "agent-src/tree/open_file.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/proc/proc_dir.hpp"

namespace crx {
namespace {

constexpr std::size_t kOurOwn = 256;  // other descriptors that we open meanwhile; some more are opened for each task
constexpr std::size_t kForEachTask = 16;

std::size_t count_descriptors(pid_t pid) {
  const std::optional<ProcDir> process = ProcDir::open(pid);
  return process ? process->descriptors().value_or(std::vector<int>()).size() : 0;
}

}  // namespace

void reserve_fd_table(const std::vector<pid_t>& pids) {
  rlim_t wanted = kOurOwn;
  for (const pid_t pid : pids) wanted += kForEachTask + count_descriptors(pid);
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < wanted && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = std::min(wanted, limit.rlim_max);
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  const auto highest = static_cast<int>(std::min(wanted, limit.rlim_cur)) - 1;
  const Fd any = try_open("/dev/null", O_RDONLY);
  const Fd there(::fcntl(any.get(), F_DUPFD_CLOEXEC, highest));
}

}  // namespace crx
