#include "agent-src/migrate/preflight.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <thread>

#include "agent-src/collect/kind/collector.hpp"
#include "agent-src/collect/kind/file_table.hpp"
#include "agent-src/collect/memory/huge_pages.hpp"
#include "agent-src/collect/memory/memory_map.hpp"
#include "agent-src/preflight/used_addresses.hpp"
#include "agent-src/preflight/used_files.hpp"
#include "agent-src/preflight/used_ports.hpp"
#include "agent-src/snapshot/inspection.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/proc/status.hpp"
#include "wire/file_message.hpp"

namespace crx {
namespace {

constexpr int64_t kPreflightMs = 30'000;
constexpr int kLooks = 5;

wire::AddressUse to_message(const UsedAddress& used) {
  wire::AddressUse use;
  use.set_address(used.address.raw());
  use.set_may_be_missing(used.may_be_missing);
  use.set_used_by(used.used_by);
  return use;
}

bool is_refused(const std::vector<PreflightFinding>& findings) {
  return std::any_of(findings.begin(), findings.end(), [](const PreflightFinding& f) { return f.fatal; });
}

// Returns the memory and swap space that a process uses, in bytes: each page counts divided by the number of processes
// that share it.
uint64_t proportional_bytes(const PrecopyTask& task) {
  const Fd file = try_open(fmt::format("/proc/{}/smaps_rollup", task.node.pid), O_RDONLY);
  if (!file) return task.map->resident_bytes();
  const std::string text = read_fd(file.get(), "smaps_rollup");
  uint64_t kib = 0;
  for (const char* key : {"\nPss:", "\nSwapPss:"}) {
    if (const auto at = text.find(key); at != std::string::npos)
      kib += std::strtoull(text.c_str() + at + std::strlen(key), nullptr, 10);
  }
  return kib << 10;
}

void add_port(const UsedPort& port, wire::Preflight& preflight) {
  wire::UsedPort& added = *preflight.add_ports();
  added.set_family(static_cast<uint32_t>(port.address.family));
  added.set_type(static_cast<uint32_t>(port.type));
  added.set_address(port.address.raw());
  added.set_port(port.address.port);
  added.set_reuse_address(port.reuse_address);
  added.set_reuse_port(port.reuse_port);
  added.set_v6only(port.v6only);
  added.set_used_by(port.used_by);
}

// Adds the credentials of a thread, unless another thread has the same. A thread that has ended meanwhile has none.
void add_credentials(pid_t pid, pid_t tid, wire::TaskSummary& summary) {
  const auto text = try_read_file(fmt::format("/proc/{}/task/{}/status", pid, tid));
  if (!text) return;
  const proc::Status status = proc::parse_status(*text);
  wire::TaskCredentials credentials;
  for (const uint32_t id : {status.uid.real, status.uid.effective, status.uid.saved, status.uid.filesystem})
    credentials.add_uids(id);
  for (const uint32_t id : {status.gid.real, status.gid.effective, status.gid.saved, status.gid.filesystem})
    credentials.add_gids(id);
  credentials.mutable_groups()->Add(status.groups.begin(), status.groups.end());
  credentials.set_inheritable(status.cap_inheritable);
  credentials.set_permitted(status.cap_permitted);
  credentials.set_effective(status.cap_effective);
  credentials.set_bounding(status.cap_bounding);
  credentials.set_ambient(status.cap_ambient);
  const std::string bytes = credentials.SerializeAsString();
  const auto& known = summary.credentials();
  if (std::any_of(known.begin(), known.end(), [&](const auto& other) { return other.SerializeAsString() == bytes; }))
    return;
  *summary.add_credentials() = std::move(credentials);
}

// Adds what the mappings of a running process may come to need. The engine there adds it up again from each layout, so
// it does not matter if a process changes too much for it here.
void add_claims(pid_t pid, ClaimedMemory& claimed) {
  try {
    FileTable files;  // what is found here is described again later
    MemoryMap map(pid, files);
    map.read();
    map.read_flags();
    claimed.set(pid, map.describe(), map.commit_charged());
  } catch (const Error& error) {
    log::debug("the mappings of process {} are not added up: {}", pid, error.what());
  }
}

// Returns whether the error may be ignored: any task but the root may end or be gone while it is inspected.
bool may_be_skipped(const TaskNode& task, pid_t root, const Error& error) {
  return task.pid != root && (error.code() == ErrorCode::victim_gone || has_ended(task));
}

bool is_zombie(pid_t pid) {
  return proc::parse_status(read_file(fmt::format("/proc/{}/status", pid))).state == 'Z';
}

std::string host_name() {
  char here[256] = "";
  ::gethostname(here, sizeof here - 1);
  return here;
}

uint64_t net_namespace() {
  struct stat st {};
  return ::stat("/proc/self/ns/net", &st) == 0 ? st.st_ino : 0;
}

}  // namespace

Preflight::Preflight(MigrationContext& context) : context_(context) {
  result_.tree = std::make_unique<SourceTree>(context.options, context.session);
}

void Preflight::summarise(const PrecopyTask& task, wire::Preflight& preflight) {
  const pid_t pid = task.node.pid;
  wire::TaskSummary& summary = *preflight.add_tasks();
  summary.set_pid(static_cast<uint32_t>(pid));
  summary.set_comm(task.node.comm);
  if (task.node.dead) return;
  const proc::Status status = proc::parse_status(read_file(fmt::format("/proc/{}/status", pid)));
  summary.set_uid(status.uid.real);
  summary.set_gid(status.gid.real);
  if (!task.node.shares_memory()) add_claims(pid, claimed_);
  for (const UsedPort& port : used_ports(pid)) add_port(port, preflight);
  summary.set_resident_bytes(task.map->resident_bytes());
  context_.report.memory_bytes += proportional_bytes(task);
  for (const pid_t tid : list_threads(pid)) {
    summary.add_tids(static_cast<uint32_t>(tid));
    add_credentials(pid, tid, summary);
  }
  for (const FileIdentity& file : used_files(pid, *task.map, UsedFiles::reading)) {
    wire::FileIdentity& added = *preflight.add_files();
    added = wire::to_message(file);
    added.set_task(static_cast<uint32_t>(pid));
  }
  for (const UsedAddress& used : used_addresses(pid)) *preflight.add_addresses() = to_message(used);
}

wire::SessionMessage Preflight::message() {
  wire::SessionMessage message;
  wire::Preflight& preflight = *message.mutable_preflight();
  preflight.set_net_namespace(net_namespace());
  context_.report.memory_bytes = 0;
  claimed_ = {};
  HugePageCount huge;
  for (const PrecopyTask& task : result_.tree->tasks.tasks()) {
    try {
      summarise(task, preflight);
      if (!task.node.dead) huge.add(task.node.pid, *task.map);
    } catch (const Error& error) {
      if (!may_be_skipped(task.node, context_.options.pid, error)) throw;
    }
  }
  preflight.set_memory_bytes(context_.report.memory_bytes);
  preflight.set_claimed_bytes(claimed_.bytes());
  for (const auto& [page_bytes, pages] : huge.pages()) {
    wire::HugePages& added = *preflight.add_huge_pages();
    added.set_page_bytes(page_bytes);
    added.set_pages(pages);
  }
  result_.has_addresses = preflight.addresses_size() > 0;
  preflight.set_hooked(!context_.options.hook.empty());
  return message;
}

std::vector<Refusal> Preflight::refusals_here() {
  const MigrateOptions& options = context_.options;
  if (options.thaw)
    context_.thawed.thaw_for(options.pid,
                             [this](const std::string& group) { context_.journal.add_detail(thawed_detail(group)); });
  const TreeSnapshot tree = list_tree(options.pid);
  std::vector<Refusal> refusals = inspect_tree(tree, collect_options(context_, *result_.tree));
  if (holds_caller(tree.tasks)) return refusals;
  result_.unit = inspect_unit(tree.tasks, options.unit, refusals);
  // A process of which everything, or the first thread, has ended has no memory to inspect.
  if (!refusals.empty() && is_zombie(options.pid)) return refusals;
  PrecopyTree& tasks = result_.tree->tasks;
  tasks.look(tree);
  std::vector<TaskNode> listed;
  for (const PrecopyTask& task : tasks.tasks()) listed.push_back(task.node);
  inspect_mappings(
      options.pid, listed, [&](pid_t pid) -> MemoryMap& { return *tasks.at(pid).map; }, refusals);
  return refusals;
}

std::vector<PreflightFinding> Preflight::findings_here() {
  const std::string here = host_name();
  std::vector<PreflightFinding> findings;
  for (const Refusal& r : refusals_here()) findings.push_back({true, here, r.object, r.reason, r.remedy});
  return findings;
}

std::vector<PreflightFinding> Preflight::findings_there() {
  context_.link->send(message());
  const wire::SessionMessage answer =
      context_.expect(wire::SessionMessage::kPreflightResult, Deadline::in_ms(kPreflightMs), "preflight");
  std::vector<PreflightFinding> findings;
  for (const wire::Finding& f : answer.preflight_result().findings()) {
    findings.push_back({f.fatal(), context_.peer.name, f.object(), f.reason(), f.remedy()});
    if (context_.options.with_files && !f.carry().empty()) result_.tree->files.carry(f.carry());
  }
  return findings;
}

std::optional<Cleared> Preflight::run() && {
  std::vector<PreflightFinding> findings;
  for (int look = 0; look < kLooks; ++look) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10 * look));
    findings = findings_here();
    if (is_refused(findings) && !context_.options.check_only) break;
    std::vector<PreflightFinding> there = findings_there();
    const bool refused_there = is_refused(there);
    std::move(there.begin(), there.end(), std::back_inserter(findings));
    if (!refused_there) break;
  }
  context_.observer.preflight(findings);
  if (is_refused(findings)) return std::nullopt;
  return std::move(result_);
}

}  // namespace crx
