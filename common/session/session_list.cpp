#include "common/session/session_list.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <set>

#include "common/base/error.hpp"
#include "common/kernel/process/freezer_group.hpp"
#include "common/proc/locks.hpp"
#include "common/proc/proc_dir.hpp"
#include "common/session/decided_tree.hpp"
#include "common/session/source_session.hpp"

namespace crx {
namespace {

constexpr std::string_view kFrom = "from ";

// Btrfs and overlayfs show another device in /proc/locks than stat(2) returns; both are without a block device.
bool is_same_device(const proc::Lock& lock, dev_t device) {
  return lock.dev_major == major(device) && (lock.dev_minor == minor(device) || lock.dev_major == 0);
}

bool runs(const JournalRecord& record) {
  const auto tree = parse_decided_tree(record.detail);
  return !tree || tree->runs;
}

// The control group, while it exists: afterwards its path says nothing.
void describe_group(const std::string& path, SessionInfo& info) {
  const std::optional<GroupView> group = look_at_group(path);
  if (!group) return;
  info.group = path;
  info.is_frozen = group->is_frozen;
  if (info.comm.empty() && !group->members.empty()) info.comm = comm_of(group->members.front());
}

void describe_source(const SourceSession& source, SessionInfo& info) {
  info.role = SessionRole::source;
  info.pid = source.pid;
  info.comm = source.comm;
  info.peer = source.to.text();
  if (!info.is_finished) describe_group(source.group, info);
}

void describe_destination(const std::vector<JournalRecord>& records, SessionInfo& info) {
  info.role = SessionRole::destination;
  info.peer = records.front().detail.substr(kFrom.size());
  for (const JournalRecord& record : records) {
    pid_t root = 0;
    if (record.state == JournalState::prepared && std::sscanf(record.detail.c_str(), "pid %d", &root) == 1)
      info.pid = root;
    const auto tree = parse_decided_tree(record.detail);
    if (tree && !info.is_finished) describe_group(tree->group, info);
  }
}

std::string awaited_by_source(JournalState state, const SessionInfo& info) {
  if (state == JournalState::open)
    return info.holder ? "the end of the copying" : "a crx-agent of this host, which lets the original run on";
  if (info.holder) return fmt::format("an answer of {}", info.peer);
  return fmt::format("an answer of {}, which a crx-agent of this host asks", info.peer);
}

std::string awaited_by_destination(JournalState state, const SessionInfo& info) {
  if (state == JournalState::open)
    return info.holder ? "memory and state from the source" : "a crx-agent of this host, which records NEVER";
  if (state == JournalState::prepared)
    return info.holder ? "the message Go from the source" : "a crx-agent of this host, which records NEVER";
  if (info.holder) return "its engine, which lets the tree run";
  return state == JournalState::resumed ? "a crx-agent of this host, which lets the tree run"
                                        : "a crx-agent of this host, which lets the tree run or records LOST";
}

SessionInfo describe(const std::string& dir, const std::string& session, const std::vector<JournalRecord>& records) {
  SessionInfo info;
  info.session = session;
  info.dir = dir;
  const JournalRecord& last = records.back();
  info.state = to_string(last.state);
  info.detail = last.detail;
  info.began_ns = records.front().time_ns;
  for (auto record = records.rbegin(); record != records.rend() && record->state == last.state; ++record)
    info.since_ns = record->time_ns;
  info.is_finished = is_final(last.state) && (last.state != JournalState::resumed || runs(last));
  if (!info.is_finished) info.holder = find_holder(dir, session);
  if (const auto source = find_source_session(records)) {
    describe_source(*source, info);
    if (!info.is_finished) info.awaits = awaited_by_source(last.state, info);
  } else if (records.front().detail.starts_with(kFrom)) {
    describe_destination(records, info);
    if (!info.is_finished) info.awaits = awaited_by_destination(last.state, info);
  }
  return info;
}

SessionInfo describe_damaged(const std::string& dir, const std::string& session, const Error& error) {
  SessionInfo info;
  info.session = session;
  info.dir = dir;
  info.state = "DAMAGED";
  info.detail = error.what();
  info.awaits = "an operator, who finds out by hand on which host the process runs";
  return info;
}

}  // namespace

std::string_view to_string(SessionRole role) {
  switch (role) {
    case SessionRole::source:
      return "source";
    case SessionRole::destination:
      return "destination";
    case SessionRole::unknown:
      break;
  }
  return "unknown";
}

std::optional<SessionHolder> find_holder(const std::string& dir, const std::string& session) {
  struct stat file {};
  if (::stat(fmt::format("{}/journal/{}.log", dir, session).c_str(), &file) != 0) return std::nullopt;
  for (const proc::Lock& lock : proc::parse_locks(read_file("/proc/locks"))) {
    if (lock.kind != proc::Lock::Kind::flock || lock.waiting || lock.type != proc::Lock::Type::write) continue;
    if (lock.inode == file.st_ino && is_same_device(lock, file.st_dev))
      return SessionHolder{lock.pid, comm_of(lock.pid)};
  }
  return std::nullopt;
}

std::vector<SessionInfo> list_sessions(const std::vector<std::string>& dirs) {
  std::vector<SessionInfo> found;
  for (const std::string& dir : std::set<std::string>(dirs.begin(), dirs.end())) {
    for (const std::string& session : list_journals(dir)) {
      try {
        const std::vector<JournalRecord> records = read_journal(dir, session);
        if (!records.empty()) found.push_back(describe(dir, session, records));
      } catch (const Error& error) {
        if (error.code() != ErrorCode::corrupt_image) throw;
        found.push_back(describe_damaged(dir, session, error));
      }
    }
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const SessionInfo& a, const SessionInfo& b) { return a.began_ns < b.began_ns; });
  return found;
}

}  // namespace crx
