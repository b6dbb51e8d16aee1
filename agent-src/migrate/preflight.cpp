// What would fail, here and there, before anything is touched.
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
#include "agent-src/collect/memory/huge_pages.hpp"
#include "agent-src/migrate/migration.hpp"
#include "agent-src/preflight/used_addresses.hpp"
#include "agent-src/preflight/used_files.hpp"
#include "agent-src/preflight/used_ports.hpp"
#include "common/base/error.hpp"
#include "common/proc/status.hpp"
#include "wire/file_message.hpp"

namespace crx {
namespace {

constexpr int64_t kAnswerMs = 30'000;

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

// What a process takes of memory and swap space, each page divided by how many share it.
uint64_t proportional_bytes(const PrecopyTask& task) {
  const Fd file = try_open(fmt::format("/proc/{}/smaps_rollup", task.place.pid), O_RDONLY);
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

uint64_t net_namespace() {
  struct stat st {};
  return ::stat("/proc/self/ns/net", &st) == 0 ? st.st_ino : 0;
}

}  // namespace

wire::SessionMessage Migration::preflight_message() {
  wire::SessionMessage message;
  wire::Preflight& preflight = *message.mutable_preflight();
  preflight.set_net_namespace(net_namespace());
  report_.memory_bytes = 0;
  HugePageCount huge;
  for (const PrecopyTask& task : tree_.tasks()) {
    wire::TaskSummary& summary = *preflight.add_tasks();
    summary.set_pid(static_cast<uint32_t>(task.place.pid));
    summary.set_comm(task.place.comm);
    if (task.place.dead) continue;
    try {
      const proc::Status status = proc::parse_status(read_file(fmt::format("/proc/{}/status", task.place.pid)));
      summary.set_uid(status.uid.real);
      summary.set_gid(status.gid.real);
      for (const UsedPort& port : used_ports(task.place.pid)) add_port(port, preflight);
      summary.set_resident_bytes(task.map->resident_bytes());
      report_.memory_bytes += proportional_bytes(task);
      huge.add(task.place.pid, *task.map);
      for (const pid_t tid : list_threads(task.place.pid)) summary.add_tids(static_cast<uint32_t>(tid));
      for (const FileIdentity& file : used_files(task.place.pid, *task.map, UsedFiles::reading)) {
        *preflight.add_files() = wire::to_message(file);
      }
      for (const UsedAddress& used : used_addresses(task.place.pid)) *preflight.add_addresses() = to_message(used);
    } catch (const Error& error) {
      if (task.place.pid == options_.pid || (error.code() != ErrorCode::victim_gone && !has_ended(task.place))) throw;
    }
  }
  preflight.set_memory_bytes(report_.memory_bytes);
  for (const auto& [page_bytes, pages] : huge.pages()) {
    wire::HugePages& added = *preflight.add_huge_pages();
    added.set_page_bytes(page_bytes);
    added.set_pages(pages);
  }
  has_addresses_ = preflight.addresses_size() > 0;
  preflight.set_hooked(!options_.hook.empty());
  return message;
}

std::vector<PreflightFinding> Migration::findings_here() {
  std::vector<PreflightFinding> findings;
  char here[256] = "";
  ::gethostname(here, sizeof here - 1);
  const auto refuse = [&](const std::vector<Refusal>& list) {
    for (const Refusal& r : list) findings.push_back({true, here, r.object, r.reason, r.remedy});
  };
  const TreeSnapshot tree = list_tree(options_.pid);
  refuse(inspect_tree(tree, collect_options()));
  if (holds_caller(tree.tasks)) return findings;
  unit_ = find_restarting_unit(tree.tasks);
  if (unit_ && options_.unit == UnitPolicy::refuse) {
    findings.push_back({true, here, fmt::format("pid {}", unit_->main_pid), restart_reason(*unit_), kRestartRemedy});
  }
  // What has ended, all of it or its first thread, has no memory to look at.
  if (is_refused(findings) && proc::parse_status(read_file(fmt::format("/proc/{}/status", options_.pid))).state == 'Z')
    return findings;
  tree_.look(tree);
  for (PrecopyTask& task : tree_.tasks()) {
    if (task.place.dead) continue;
    try {
      task.map->read();
      refuse(task.map->refusals());
    } catch (const Error& error) {
      if (task.place.pid == options_.pid && is_refused(findings)) break;  // a kernel thread has no memory to look at
      if (task.place.pid == options_.pid || (error.code() != ErrorCode::victim_gone && !has_ended(task.place))) throw;
    }
  }
  return findings;
}

std::vector<PreflightFinding> Migration::findings_there() {
  link_->send(preflight_message());
  const auto result =
      expect<wire::PreflightResult>(Deadline::in_ms(kAnswerMs), wire::SessionMessage::kPreflightResult, "preflight");
  std::vector<PreflightFinding> findings;
  for (const wire::Finding& f : result.findings()) {
    findings.push_back({f.fatal(), peer_, f.object(), f.reason(), f.remedy()});
    if (options_.with_files && !f.carry().empty()) files_.carry(f.carry());
  }
  return findings;
}

bool Migration::preflight() {
  // While the destination is asked the tree goes on: temporary files and children end. What is missed there counts
  // when it is missed in every look.
  constexpr int kLooks = 5;
  std::vector<PreflightFinding> findings;
  for (int look = 0; look < kLooks; ++look) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10 * look));
    findings = findings_here();
    if (is_refused(findings) && !options_.check_only) break;
    std::vector<PreflightFinding> there = findings_there();
    const bool refused_there = is_refused(there);
    std::move(there.begin(), there.end(), std::back_inserter(findings));
    if (!refused_there) break;
  }
  observer_.preflight(findings);
  return !is_refused(findings);
}

}  // namespace crx
