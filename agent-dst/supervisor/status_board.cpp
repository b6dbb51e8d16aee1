#include "agent-dst/supervisor/status_board.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "agent-dst/image_store/set_store.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/base/page.hpp"
#include "common/kernel/process/freezer_group.hpp"
#include "common/proc/cgroup.hpp"
#include "common/proc/stat.hpp"
#include "common/session/session_list.hpp"

namespace crx::supervisor {
namespace {

// Limits of what one refresh reads: the processes of all trees, and the depth of a tree.
constexpr std::size_t kMostProcesses = 512;
constexpr std::size_t kHistory = std::tuple_size_v<decltype(ipc::BoardLists::ended)>;
constexpr std::size_t kMostTrees = 4 * std::tuple_size_v<decltype(ipc::BoardLists::trees)>;

// Whether the process is in the control group that the engine of the session has made.
bool is_of_session(const ProcDir& process, const std::string& session) {
  const auto groups = process.cgroups();
  return groups && std::any_of(groups->begin(), groups->end(), [&](const proc::CgroupEntry& group) {
           return group.path.find("/crx-" + group_name(session)) != std::string::npos;
         });
}

const char* outcome_of(const std::string& state) {
  if (state == "RESUMED") return "committed";
  return state == "RESUMING" ? "in_doubt" : "failed";
}

template <typename Shown, std::size_t N, typename List, typename Get>
uint32_t copy_first(std::array<Shown, N>& to, const List& from, const Get& get) {
  const std::size_t count = std::min(N, from.size());
  for (std::size_t i = 0; i < count; ++i) to.at(i) = get(from.at(i));
  return static_cast<uint32_t>(count);
}

}  // namespace

void StatusBoard::inherit() noexcept {
  try {
    add_earlier();
  } catch (const Error& error) {
    log::warn("the status page begins without earlier sessions: {}", error.what());
  }
}

void StatusBoard::add_earlier() {
  for (const SessionInfo& info : list_sessions({store_})) {
    if (info.role != SessionRole::destination || !info.is_finished) continue;
    ipc::BoardSession& shown = entry(info.session);
    shown.peer.set(info.peer);
    shown.purpose.set("move");
    shown.outcome.set(outcome_of(info.state));
    shown.detail.set(info.state == "RESUMED" ? "" : info.detail);
    shown.ended_ns = info.since_ns;
    shown.duration_us = (info.since_ns - info.began_ns) / 1000;
    if (info.state != "RESUMED" || info.pid <= 0) continue;
    auto process = ProcDir::open(info.pid);
    if (!process || !is_of_session(*process, info.session)) continue;
    Tree tree;
    tree.shown.session.set(info.session);
    tree.shown.peer.set(info.peer);
    tree.shown.pid = info.pid;
    tree.shown.since_ns = info.since_ns;
    tree.root = std::move(process);
    tree.inherited = true;
    trees_.push_front(std::move(tree));
  }
}

ipc::BoardSession& StatusBoard::entry(const std::string& session) {
  const auto known = std::find_if(ended_.begin(), ended_.end(),
                                  [&](const ipc::BoardSession& each) { return each.session.get() == session; });
  if (known != ended_.end()) return *known;
  if (ended_.size() >= kHistory) ended_.pop_back();
  ended_.emplace_front();
  ended_.front().session.set(session);
  return ended_.front();
}

void StatusBoard::opened(const std::string& session, const std::string& peer, const char* purpose) {
  open_[session] = {peer, monotonic_us()};
  ipc::BoardSession& shown = entry(session);
  shown.peer.set(peer);
  shown.purpose.set(purpose);
}

void StatusBoard::turned_away(const std::string& session, const std::string& peer, const std::string& why) {
  ipc::BoardSession shown;
  shown.session.set(session);
  shown.peer.set(peer);
  shown.outcome.set("refused");
  shown.detail.set(why);
  shown.ended_ns = clock_ns(CLOCK_REALTIME);
  if (ended_.size() >= kHistory) ended_.pop_back();
  ended_.push_front(shown);
  publish();
}

void StatusBoard::resumed(const std::string& session, pid_t pid, pid_t host_pid) {
  Tree tree;
  tree.shown.session.set(session);
  tree.shown.pid = pid;
  tree.shown.own_namespace = pid != host_pid ? 1 : 0;
  tree.shown.since_ns = clock_ns(CLOCK_REALTIME);
  tree.shown.peer = entry(session).peer;
  tree.root = ProcDir::open(host_pid);
  measure(tree);
  entry(session).comm = tree.shown.comm;
  trees_.push_front(std::move(tree));
  if (trees_.size() > kMostTrees) trees_.pop_back();
  publish();
}

void StatusBoard::ended(const std::string& session, const char* outcome, const std::string& detail) {
  ipc::BoardSession& shown = entry(session);
  shown.outcome.set(outcome);
  shown.detail.set(detail);
  shown.ended_ns = clock_ns(CLOCK_REALTIME);
  if (const auto open = open_.find(session); open != open_.end()) {
    shown.duration_us = monotonic_us() - open->second.began_us;
    open_.erase(open);
  }
  publish();
}

void StatusBoard::closed(const std::string& session, const ipc::SessionFigures& figures) {
  ipc::BoardSession& shown = entry(session);
  shown.wire_bytes = figures.wire_bytes;
  shown.pages = figures.content_pages + figures.zero_pages;
  shown.processes = figures.processes;
  shown.downtime_us = figures.downtime_us;
  publish();
}

void StatusBoard::root_exited(const std::string& session) {
  std::erase_if(trees_, [&](const Tree& tree) { return tree.shown.session.get() == session; });
  publish();
}

// Adds up the processes below the root, as many as one refresh may look at.
void StatusBoard::measure(Tree& tree) const {
  tree.shown.processes = 0;
  tree.shown.memory_bytes = 0;
  std::vector<pid_t> left = {tree.root ? tree.root->pid() : 0};
  for (std::size_t i = 0; i < left.size() && i < kMostProcesses; ++i) {
    const std::optional<ProcDir> child = i == 0 ? std::nullopt : ProcDir::open(left[i]);
    const std::optional<ProcDir>& process = i == 0 ? tree.root : child;
    const std::optional<proc::Stat> stat = process ? process->stat() : std::nullopt;
    if (!stat) continue;
    if (i == (tree.shown.own_namespace != 0 ? 1U : 0U)) tree.shown.comm.set(stat->comm);
    ++tree.shown.processes;
    tree.shown.memory_bytes += static_cast<uint64_t>(std::max<int64_t>(stat->rss, 0)) * kPageSize;
    for (const pid_t pid : process->children().value_or(std::vector<pid_t>())) left.push_back(pid);
  }
}

void StatusBoard::look_at_store() noexcept {
  try {
    std::vector<RecentSet> all = recent_sets(store_, std::tuple_size_v<decltype(ipc::BoardLists::sets)>, all_sets_);
    sets_.clear();
    for (const RecentSet& set : all) {
      ipc::BoardSet& shown = sets_.emplace_back();
      shown.name.set(set.name);
      shown.bytes = set.bytes;
      shown.modified_ns = set.modified_ns;
    }
  } catch (const std::exception& error) {
    log::debug("looking at the store: {}", error.what());
  }
  next_store_ = Deadline::in_ms(kStoreMs);
  publish();
}

void StatusBoard::refresh() noexcept {
  try {
    std::size_t looked_at = 0;
    for (Tree& tree : trees_) {
      if (looked_at > kMostProcesses) break;
      measure(tree);
      looked_at += tree.shown.processes;
    }
    std::erase_if(trees_, [](const Tree& tree) { return tree.inherited && tree.shown.processes == 0; });
  } catch (const std::exception& error) {
    log::debug("looking at the trees: {}", error.what());
  }
  if (next_store_.passed())
    look_at_store();
  else
    publish();
}

void StatusBoard::publish() noexcept {
  const auto lists = std::make_unique<ipc::BoardLists>();
  std::array<char, 100> host{};
  if (::gethostname(host.data(), host.size() - 1) == 0) lists->host.set(host.data());
  lists->shown_trees = copy_first(lists->trees, trees_, [](const Tree& tree) { return tree.shown; });
  std::vector<const ipc::BoardSession*> over;
  for (const ipc::BoardSession& each : ended_) {
    if (!each.outcome.get().empty()) over.push_back(&each);
  }
  std::stable_sort(over.begin(), over.end(), [](const auto* a, const auto* b) { return a->ended_ns > b->ended_ns; });
  lists->shown_ended = copy_first(lists->ended, over, [](const ipc::BoardSession* each) { return *each; });
  lists->shown_sets = copy_first(lists->sets, sets_, [](const ipc::BoardSet& set) { return set; });
  lists->all_trees = static_cast<uint32_t>(trees_.size());
  lists->all_sets = static_cast<uint32_t>(all_sets_);
  shared_.publish(*lists);
}

}  // namespace crx::supervisor
