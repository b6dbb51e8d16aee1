#include "common/proc/proc_dir.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <utility>

#include "common/base/directory.hpp"
#include "common/base/error.hpp"
#include "common/proc/cgroup.hpp"
#include "common/proc/fdinfo.hpp"
#include "common/proc/maps.hpp"
#include "common/proc/stat.hpp"
#include "common/proc/status.hpp"
#include "common/proc/syscall.hpp"

namespace crx {
namespace {

constexpr int kReadAgain = 100;

// Call it where a call has failed: returns for the expected reasons, and throws for others.
void check_expected(pid_t pid, const std::string& name) {
  const int err = errno;
  if (err == ENOENT || err == ESRCH || err == EACCES || err == EPERM) return;
  throw_errno("reading about a process", fmt::format("/proc/{}/{}", pid, name), err);
}

template <typename Parse>
auto parsed(const std::optional<std::string>& text, Parse parse) -> std::optional<decltype(parse(*text))> {
  // A thread that is being reaped can show an empty file.
  if (!text || text->empty()) return std::nullopt;
  return parse(*text);
}

}  // namespace

std::optional<ProcDir> ProcDir::open(pid_t pid) {
  Fd directory = try_open(fmt::format("/proc/{}", pid), O_PATH | O_DIRECTORY);
  if (directory) return ProcDir(pid, std::move(directory));
  check_expected(pid, "");
  return std::nullopt;
}

ProcDir ProcDir::open_checked(pid_t pid) {
  std::optional<ProcDir> found = open(pid);
  if (!found) throw_gone(pid, "reading about a process");
  return std::move(*found);
}

std::optional<std::string> ProcDir::read(const std::string& name, std::size_t limit) const {
  const Fd file = try_open_at(directory_.get(), name, O_RDONLY);
  std::optional<std::string> text = file ? try_read_fd(file.get(), limit) : std::nullopt;
  if (!text) check_expected(pid_, name);
  return text;
}

std::optional<std::string> ProcDir::link(const std::string& name) const {
  std::optional<std::string> target = try_read_link(directory_.get(), name);
  if (!target) check_expected(pid_, name);
  return target;
}

std::optional<std::string> ProcDir::comm() const {
  std::optional<std::string> comm = read("comm");
  if (comm && comm->ends_with('\n')) comm->pop_back();
  return comm;
}

std::optional<std::string> ProcDir::exe() const {
  return link("exe");
}

std::optional<proc::Stat> ProcDir::stat() const {
  return parsed(read("stat"), proc::parse_stat);
}

std::optional<proc::Stat> ProcDir::stat(pid_t tid) const {
  return parsed(read(fmt::format("task/{}/stat", tid)), proc::parse_stat);
}

std::optional<proc::Status> ProcDir::status() const {
  return parsed(read("status"), proc::parse_status);
}

// The file comes in pieces, and a process that maps and unmaps meanwhile can show an area twice: then it is read again.
std::optional<std::vector<proc::MapsEntry>> ProcDir::maps() const {
  for (int turn = 0;; ++turn) {
    const std::optional<std::string> text = read("maps");
    if (!text) return std::nullopt;
    if (auto entries = proc::try_parse_maps(*text)) return entries;
    if (turn == kReadAgain) return proc::parse_torn_maps(*text);
  }
}

std::optional<std::vector<proc::CgroupEntry>> ProcDir::cgroups() const {
  return parsed(read("cgroup"), proc::parse_cgroup);
}

std::optional<proc::BlockedSyscall> ProcDir::blocked_syscall(pid_t tid) const {
  const std::optional<std::string> text = read(fmt::format("task/{}/syscall", tid));
  return text ? proc::parse_syscall(*text) : std::nullopt;
}

std::optional<proc::Fdinfo> ProcDir::fdinfo(int number) const {
  return parsed(read(fmt::format("fdinfo/{}", number)), proc::parse_fdinfo);
}

std::optional<std::string> ProcDir::descriptor(int number) const {
  return link(fmt::format("fd/{}", number));
}

std::optional<std::vector<int>> ProcDir::descriptors() const {
  std::optional<std::vector<int>> numbers = list_numeric(directory_.get(), "fd");
  if (!numbers) check_expected(pid_, "fd");
  if (numbers) std::sort(numbers->begin(), numbers->end());
  return numbers;
}

std::optional<std::vector<pid_t>> ProcDir::threads() const {
  std::optional<std::vector<int>> tids = list_numeric(directory_.get(), "task");
  if (!tids) check_expected(pid_, "task");
  return tids;
}

std::optional<std::vector<pid_t>> ProcDir::children() const {
  const std::optional<std::vector<pid_t>> tids = threads();
  if (!tids) return std::nullopt;
  std::vector<pid_t> children;
  for (const pid_t tid : *tids) {
    const std::string list = read(fmt::format("task/{}/children", tid)).value_or("");
    for (const char *at = list.data(), *end = at + list.size(); at < end;) {
      pid_t child = 0;
      const auto [next, fault] = std::from_chars(at, end, child);
      if (fault != std::errc()) break;
      children.push_back(child);
      at = next + 1;
    }
  }
  return children;
}

std::vector<pid_t> list_processes() {
  std::vector<pid_t> pids = list_numeric("/proc").value_or(std::vector<pid_t>());
  std::sort(pids.begin(), pids.end());
  return pids;
}

bool is_taken(pid_t number) {
  return ::access(fmt::format("/proc/{}", number).c_str(), F_OK) == 0;
}

std::string comm_of(pid_t pid) {
  const std::optional<ProcDir> process = ProcDir::open(pid);
  return process ? process->comm().value_or("?") : "?";
}

}  // namespace crx
