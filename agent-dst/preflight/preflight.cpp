#include "agent-dst/preflight/preflight.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <set>
#include <utility>

#include "agent-dst/policy/policy.hpp"
#include "agent-dst/preflight/host_requirements.hpp"
#include "agent-dst/preflight/preflight_addresses.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/journal.hpp"
#include "common/kernel/process/pid_holder.hpp"
#include "common/proc/proc_dir.hpp"
#include "common/proc/stat.hpp"
#include "wire/file_message.hpp"

namespace crx {
namespace {

wire::Finding finding(std::string object, std::string reason, std::string remedy) {
  wire::Finding f;
  f.set_fatal(true);
  f.set_object(std::move(object));
  f.set_reason(std::move(reason));
  f.set_remedy(std::move(remedy));
  return f;
}

uint64_t available_memory() {
  const std::string text = read_file("/proc/meminfo");
  const auto at = text.find("MemAvailable:");
  return at == std::string::npos ? ~uint64_t{0} : std::strtoull(text.c_str() + at + 13, nullptr, 10) * 1024;
}

// A process of the agent itself: a child of the supervisor, as this engine is, that runs the same program. A tree that
// was moved here is such a child as well, but runs a program of its own.
bool is_agents_own(pid_t pid) {
  if (pid == ::getppid()) return true;
  const std::optional<ProcDir> process = ProcDir::open(pid);
  const std::optional<proc::Stat> stat = process ? process->stat() : std::nullopt;
  return stat && stat->ppid == ::getppid() && process->exe() == try_read_link(AT_FDCWD, "/proc/self/exe");
}

wire::Finding taken(pid_t id, pid_t session_process) {
  const std::string object = fmt::format("PID {}", id);
  if (id == ::getpid() || id == session_process) {
    return finding(object,
                   fmt::format("is taken by a process that crx-agent has made for this session, \"{}\"", comm_of(id)),
                   "try again: the next one has another PID");
  }
  if (is_agents_own(id)) {
    return finding(object, fmt::format("is taken by a process of crx-agent, \"{}\"", comm_of(id)),
                   "restart crx-agent there, which gets other PIDs, or use --new-pids");
  }
  const PidHolder holder = holder_of(id);
  return finding(object, holder.reason, holder.remedy + ", move to another host, or use --new-pids");
}

void check_ids(const wire::TaskSummary& task, pid_t session_process, std::vector<wire::Finding>& findings) {
  std::vector<uint32_t> ids(task.tids().begin(), task.tids().end());
  ids.push_back(task.pid());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  const auto pid_max = std::strtoul(read_file("/proc/sys/kernel/pid_max").c_str(), nullptr, 10);
  for (const uint32_t id : ids) {
    if (id >= pid_max) {
      findings.push_back(finding(fmt::format("PID {}", id), fmt::format("is above pid_max {} here", pid_max),
                                 "raise kernel.pid_max at the destination"));
    } else if (is_taken(static_cast<pid_t>(id))) {
      findings.push_back(taken(static_cast<pid_t>(id), session_process));
    }
  }
}

uint64_t net_namespace() {
  struct stat st {};
  return ::stat("/proc/self/ns/net", &st) == 0 ? st.st_ino : 0;
}

// Whether the tree runs where it is to go: this kernel and network, and each PID is that of a process with the same
// name.
bool is_same_host(const wire::Preflight& preflight, const wire::Hello& hello) {
  if (hello.host().boot_id() != read_boot_id() || preflight.net_namespace() != net_namespace()) return false;
  const auto& tasks = preflight.tasks();
  return !tasks.empty() && std::all_of(tasks.begin(), tasks.end(), [](const wire::TaskSummary& task) {
    const auto pid = static_cast<pid_t>(task.pid());
    return is_taken(pid) && comm_of(pid) == task.comm();
  });
}

HostRequirements needs_of(const wire::Preflight& preflight, const wire::Hello& hello) {
  HostRequirements needs;
  needs.memory_bytes = preflight.memory_bytes();
  for (const wire::HugePages& huge : preflight.huge_pages()) needs.huge_pages[huge.page_bytes()] += huge.pages();
  for (const wire::TaskSummary& task : preflight.tasks()) {
    needs.uids.insert(task.uid());
    needs.gids.insert(task.gid());
    for (const wire::TaskCredentials& each : task.credentials()) {
      needs.uids.insert(each.uids().begin(), each.uids().end());
      needs.gids.insert(each.gids().begin(), each.gids().end());
      needs.gids.insert(each.groups().begin(), each.groups().end());
    }
    needs.tasks += static_cast<uint64_t>(std::max(1, task.tids_size()));
  }
  // When source and destination use the same network namespace, the ports are in use by the tree itself.
  if (hello.host().boot_id() == read_boot_id() && preflight.net_namespace() == net_namespace()) return needs;
  for (const wire::UsedPort& used : preflight.ports()) {
    const bool v6 = used.family() == AF_INET6;
    if (used.port() > UINT16_MAX || used.address().size() != (v6 ? 16U : 4U) ||
        (used.type() != SOCK_STREAM && used.type() != SOCK_DGRAM))
      continue;
    NeededPort port;
    port.address = InetAddress::from_raw(used.address(), static_cast<uint16_t>(used.port()));
    port.type = static_cast<int>(used.type());
    port.reuse_address = used.reuse_address();
    port.reuse_port = used.reuse_port();
    port.v6only = used.v6only();
    port.peer_ports.reset();  // a move that failed just before leaves connections in TIME_WAIT
    port.used_by = used.used_by();
    needs.ports.push_back(std::move(port));
  }
  return needs;
}

// Compares what the source says of the tree with the policy. The engine does it again with what arrives.
void check_policy(const wire::Preflight& preflight, const Policy& policy, std::vector<wire::Finding>& findings) {
  std::set<std::string> named;
  const auto add = [&](const Breach& breach) {
    if (named.insert(breach.object + breach.reason).second)
      findings.push_back(finding(breach.object, breach.reason, breach.remedy));
  };
  uint64_t tasks = 0;
  for (const wire::TaskSummary& task : preflight.tasks()) {
    tasks += static_cast<uint64_t>(std::max(1, task.tids_size()));
    for (const wire::TaskCredentials& each : task.credentials()) {
      for (const Breach& breach : policy.breaches(credentials_of(each))) add(breach);
    }
  }
  if (const auto breach = policy.tasks_breach(tasks)) add(*breach);
  if (const auto breach = policy.memory_breach(std::max(preflight.memory_bytes(), preflight.claimed_bytes())))
    add(*breach);
}

constexpr uint64_t kMaxCarriedBytes = uint64_t{128} << 20;  // limit, since they are sent in messages

constexpr char kSameFile[] = "put the same file there, or use storage that both hosts share";

std::string remedy_for(const std::string& difference) {
  if (difference.starts_with("cannot be read"))
    return "let the program's user read it there, or allow root tasks on crx-agent";
  if (difference.find("symbolic link") != std::string::npos)
    return "put it there under its own path, for example by mount --bind";
  return kSameFile;
}

}  // namespace

std::map<std::string, CarryPermit> carry_permits(const wire::Preflight& preflight,
                                                 const std::vector<wire::Finding>& findings, const Policy& policy) {
  std::map<std::string, CarryPermit> permits;
  std::map<uint32_t, const wire::TaskCredentials*> tasks;
  for (const wire::TaskSummary& task : preflight.tasks()) {
    if (task.credentials_size() > 0) tasks[task.pid()] = &task.credentials(0);
  }
  std::map<std::string, uint32_t> users;
  for (const wire::FileIdentity& file : preflight.files()) users.try_emplace(file.path(), file.task());
  for (const wire::Finding& f : findings) {
    const std::string* directory = policy.directory_of(f.carry());
    if (f.carry().empty() || directory == nullptr) continue;
    const auto task = tasks.find(users[f.carry()]);
    if (task == tasks.end()) throw Error(ErrorCode::peer, "preflight", "the file " + f.carry() + " is no task's");
    const TaskCredentials credentials = credentials_of(*task->second);
    permits[f.carry()] = {*directory, fs_ids_of(credentials)};
  }
  return permits;
}

std::vector<wire::Finding> check_preflight(const wire::Preflight& preflight, const wire::Hello& hello,
                                           const EngineOptions& options, FileComparison& comparison) {
  std::vector<wire::Finding> findings;
  if (is_same_host(preflight, hello)) {
    findings.push_back(finding("the destination", "is the very host on which the program runs",
                               "give --to the address of another host, or use --new-pids"));
    return findings;
  }
  for (const wire::TaskSummary& task : preflight.tasks()) {
    check_ids(task, options.session_process, findings);
  }
  const std::size_t before = findings.size();
  check_policy(preflight, options.policy, findings);
  const bool kept = findings.size() == before;
  const uint64_t available = available_memory();
  if (preflight.memory_bytes() > available) {
    findings.push_back(
        finding("memory",
                fmt::format("{} MiB are needed, {} MiB are available", preflight.memory_bytes() >> 20, available >> 20),
                "free memory at the destination"));
  }
  for (Shortfall& lack : check_host_requirements(needs_of(preflight, hello))) {
    findings.push_back(finding(std::move(lack.object), std::move(lack.reason), std::move(lack.remedy)));
  }
  for (wire::Finding& f : check_addresses(preflight, preflight.hooked() || !options.hook.empty())) {
    findings.push_back(std::move(f));
  }
  // Files are looked at with the credentials of the tasks, so only with those that tasks may have here.
  if (kept) {
    for (wire::Finding& f : check_files(preflight.files(), hello.with_files(), options.policy, comparison))
      findings.push_back(std::move(f));
  }
  if (!hello.check_only()) return findings;
  for (Shortfall& lack : check_features())
    findings.push_back(finding(std::move(lack.object), std::move(lack.reason), std::move(lack.remedy)));
  return findings;
}

std::vector<wire::Finding> check_files(const google::protobuf::RepeatedPtrField<wire::FileIdentity>& files,
                                       bool with_files, const Policy& policy, FileComparison& comparison) {
  std::vector<wire::Finding> findings;
  uint64_t bytes = 0;
  std::set<std::string> seen;
  for (const wire::FileIdentity& wanted : files) {
    const FileIdentity identity = wire::from_message(wanted);
    const auto task = static_cast<pid_t>(wanted.task());
    const auto difference = comparison.difference(task, identity);
    if (!difference) continue;
    if (with_files && comparison.may_be_carried(task, identity)) {
      const std::string* directory = policy.directory_of(wanted.path());
      bytes += seen.insert(wanted.path()).second ? wanted.size() : 0;
      wire::Finding f = finding(fmt::format("{} ({})", wanted.path(), wanted.used_by()), *difference, "");
      if (directory == nullptr) {
        f.set_reason(fmt::format("{}, and files may not be made there", *difference));
        f.set_remedy("start crx-agent with --allow-files and a directory above it");
      } else if (bytes > kMaxCarriedBytes) {
        f.set_reason(fmt::format("{}, and is over the {} MiB of files that can be carried along", *difference,
                                 kMaxCarriedBytes >> 20));
        f.set_remedy(kSameFile);
      } else {
        f.set_fatal(false);
        f.set_remedy("it is carried along");
        f.set_carry(wanted.path());
      }
      findings.push_back(std::move(f));
      continue;
    }
    findings.push_back(
        finding(fmt::format("{} ({})", wanted.path(), wanted.used_by()), *difference, remedy_for(*difference)));
  }
  return findings;
}

}  // namespace crx
