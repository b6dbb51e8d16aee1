#include "agent-dst/vessel/vessel_tree.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/kcmp.hpp"
#include "common/proc/stat.hpp"

namespace crx {
namespace {

constexpr uint32_t kLastSignal = 64;

[[noreturn]] void misplaced(const VesselPlace& place) {
  throw Error(ErrorCode::unsupported, "creating the processes",
              fmt::format("process {} cannot come below process {}, since session {} began elsewhere", place.pid,
                          place.ppid, place.sid))
      .with_hint("end it before moving the program");
}

pid_t parent_of(pid_t pid) {
  return proc::parse_stat(read_file(fmt::format("/proc/{}/stat", pid))).ppid;
}

}  // namespace

VesselTree::~VesselTree() {
  for (auto place = places_.rbegin(); place != places_.rend(); ++place) vessels_.erase(place->pid);
}

Vessel& VesselTree::root() {
  if (places_.empty() || vessels_.empty())
    throw Error(ErrorCode::peer, "following the source", "no layout came before this");
  return vessels_.at(places_.front().pid).vessel;
}

Vessel* VesselTree::find(pid_t pid) noexcept {
  const auto found = vessels_.find(pid);
  return found == vessels_.end() ? nullptr : &found->second.vessel;
}

Vessel& VesselTree::at(pid_t pid) {
  Vessel* vessel = find(pid);
  if (vessel == nullptr)
    throw Error(ErrorCode::peer, "following the source", fmt::format("no layout spoke of task {}", pid));
  return *vessel;
}

std::vector<Vessel*> VesselTree::all() {
  std::vector<Vessel*> list;
  for (const VesselPlace& place : places_) {
    Vessel* vessel = place.dead ? nullptr : find(place.pid);
    if (vessel != nullptr) list.push_back(vessel);
  }
  return list;
}

const VesselPlace* VesselTree::place_of(pid_t pid) const {
  const auto found = std::find_if(places_.begin(), places_.end(), [pid](const VesselPlace& p) { return p.pid == pid; });
  return found == places_.end() ? nullptr : &*found;
}

// A zombie whose number is still that of a session that others are in: nobody else could get the number.
bool VesselTree::leads_after_death(const VesselPlace& place) const {
  return place.dead && place.sid == place.pid &&
         std::any_of(places_.begin(), places_.end(),
                     [&](const VesselPlace& other) { return other.sid == place.pid && !other.dead; });
}

// The process and, for its number to be free, the zombie that its parent has then.
void VesselTree::remove(pid_t pid) {
  const auto found = vessels_.find(pid);
  if (found == vessels_.end()) return;
  const pid_t parent = found->second.parent;
  vessels_.erase(found);
  if (Vessel* of = find(parent)) {
    of->process().reap(pid);
    pending_sigchld_.insert(parent);
  }
}

// before: the places so far; places_ are those of now.
void VesselTree::remove_gone(const std::vector<VesselPlace>& before) {
  std::set<pid_t> stay;
  for (const VesselPlace& place : places_) {
    const bool parent_stays = place.ppid == 0 || stay.contains(place.ppid);
    const auto entry = vessels_.find(place.pid);
    if (entry == vessels_.end() || (place.dead && !leads_after_death(place))) continue;
    if (place.ppid == 0 || (!place.replaced && parent_stays && entry->second.parent == place.ppid))
      stay.insert(place.pid);
  }
  // Whoever is below a vessel that goes was renewed, too, so the order of the old places will do.
  for (auto place = before.rbegin(); place != before.rend(); ++place) {
    if (!stay.contains(place->pid)) remove(place->pid);
  }
}

void VesselTree::follow(const std::vector<VesselPlace>& places, int cgroup_dir, PtyTable& ptys) {
  ptys_ = &ptys;
  std::set<pid_t> known;
  for (const VesselPlace& place : places) {
    const bool is_root = &place == &places.front();
    if (place.pid <= 0 || !known.insert(place.pid).second || is_root != (place.ppid == 0) ||
        (!is_root && !known.contains(place.ppid)) || (is_root && place.dead) || place.exit_signal > kLastSignal) {
      throw Error(ErrorCode::peer, "following the source", fmt::format("task {} has no place in the tree", place.pid));
    }
  }
  if (places.empty() || (!places_.empty() && places.front().pid != places_.front().pid)) {
    throw Error(ErrorCode::peer, "following the source", "the tree has another root");
  }
  const std::vector<VesselPlace> before = std::exchange(places_, places);
  remove_gone(before);
  const bool first = vessels_.empty();
  if (first) {
    create_root(cgroup_dir);
  } else if (places_.front().replaced) {
    root().memory().clear();
    Entry& entry = vessels_.at(places_.front().pid);
    if (places_.front().sid == places_.front().pid && entry.sid != entry.vessel.pid())
      entry.vessel.process().lead_session();
    entry.sid = places_.front().sid;
  }
  take_terminal(places_.front());
  create_below(places_.front());
}

// Before it has children in its session.
void VesselTree::take_terminal(const VesselPlace& place) {
  if (place.terminal == 0 || place.sid != place.pid) return;
  vessels_.at(place.pid).vessel.process().control_terminal(ptys_->slave(place.terminal - 1));
}

void VesselTree::create_root(int cgroup_dir) {
  const VesselPlace& place = places_.front();
  VesselPlan plan;
  plan.pid = place.pid;
  plan.sid = place.sid;
  plan.pgid = place.pgid;
  plan.cgroup_dir = cgroup_dir;
  Entry& entry = vessels_.emplace(place.pid, Entry(Vessel::create(plan))).first->second;
  // A session or group that it does not lead is that of whoever started it, which is the agent's here.
  entry.sid = place.sid;
  entry.pgid = place.pgid;
}

// parent: of the process, or its stand-in.
void VesselTree::create(const VesselPlace& place, Entry& parent) {
  Entry* from = &parent;
  const bool as_sibling = place.cloner != 0 || has_sibling_donor(place);
  if (as_sibling) from = &sibling_of(place);
  if (place.memory_donor != 0 && !as_sibling && place.memory_donor != parent.vessel.pid()) {
    throw Error(ErrorCode::peer, "following the source",
                fmt::format("task {} cannot have the memory of {}", place.pid, place.memory_donor));
  }
  if (place.clone_flags != 0 && place.cloner == 0 && (as_sibling || place.ppid != parent.vessel.pid())) {
    throw Error(ErrorCode::unsupported, "creating the processes",
                fmt::format("process {} shares things with a parent in whose session it is not", place.pid))
        .with_hint("end it before moving the program");
  }
  if (place.cloner != 0 && place.sid != from->sid && place.sid != place.pid) {
    throw Error(
        ErrorCode::unsupported, "creating the processes",
        fmt::format("process {} shares things with process {}, in whose session it is not", place.pid, place.cloner))
        .with_hint("end it before moving the program");
  }
  const auto relation = as_sibling ? Vessel::Relation::sibling : Vessel::Relation::child;
  Entry entry(place.memory_donor == 0 || (place.clone_flags & sharing::kMemory) != 0
                  ? Vessel::fork(from->vessel, place.pid, place.clone_flags, relation, place.exit_signal)
                  : Vessel::fork_with_memory(from->vessel, place.pid, relation, place.clone_flags, place.exit_signal));
  entry.sid = from->sid;
  entry.pgid = from->pgid;
  entry.parent = place.ppid;
  vessels_.emplace(place.pid, std::move(entry));
  log::debug("vessel {}: a {} of {}", place.pid, as_sibling ? "sibling" : "child", from->vessel.pid());
}

bool VesselTree::has_sibling_donor(const VesselPlace& place) const {
  const auto found = vessels_.find(place.memory_donor);
  return found != vessels_.end() && found->second.parent == place.ppid && place.ppid != 0;
}

// By which a process is made that does not come from its parent.
VesselTree::Entry& VesselTree::sibling_of(const VesselPlace& place) {
  const pid_t wanted = place.cloner != 0 ? place.cloner : place.memory_donor;
  const auto found = vessels_.find(wanted);
  if (found == vessels_.end() || found->second.parent != place.ppid ||
      (place.memory_donor != 0 && place.memory_donor != wanted)) {
    throw Error(ErrorCode::peer, "following the source",
                fmt::format("task {} cannot be made by {}", place.pid, wanted));
  }
  return found->second;
}

// Those whom it makes for its parent and who are in the session that it is about to leave.
void VesselTree::create_siblings(const VesselPlace& place) {
  for (const VesselPlace& other : places_) {
    if (other.cloner != place.pid || other.dead || other.sid != vessels_.at(place.pid).sid ||
        vessels_.contains(other.pid))
      continue;
    create(other, vessels_.at(other.ppid));
  }
}

// Children that are in the session it comes from first; then it leads its own; then all others.
void VesselTree::create_below(const VesselPlace& place) {
  Entry& entry = vessels_.at(place.pid);
  const auto create_some = [&](auto&& wanted) {
    for (const VesselPlace& child : places_) {
      if (child.ppid != place.pid || child.dead || !wanted(child)) continue;
      if (!vessels_.contains(child.pid)) {
        if (child.cloner != 0 && !vessels_.contains(child.cloner)) continue;
        create(child, entry);
      }
      create_below(child);
    }
  };
  const bool will_lead = place.sid == place.pid && entry.sid != place.sid;
  std::set<pid_t> done;
  if (will_lead) {
    create_siblings(place);
    create_some([&](const VesselPlace& child) {
      return child.sid == entry.sid && child.sid != child.pid && done.insert(child.pid).second;
    });
    entry.vessel.process().lead_session();
    take_terminal(place);
    entry.sid = entry.pgid = place.pid;
  }
  create_some([&](const VesselPlace& child) {
    const bool born_here =
        child.sid == entry.sid || child.sid == child.pid || child.cloner != 0 || has_sibling_donor(child);
    // An orphan of an earlier layout may have children by now.
    return (born_here || vessels_.contains(child.pid)) && done.insert(child.pid).second;
  });
  create_orphans(place);
}

// Somebody in the session whose orphans `above` would adopt.
VesselTree::Entry* VesselTree::member_below(pid_t sid, pid_t above) {
  for (auto& [pid, entry] : vessels_) {
    if (entry.sid != sid) continue;
    for (const Entry* at = &entry; at->parent != 0; at = &vessels_.at(at->parent)) {
      if (at->parent == above) return &entry;
      if (!vessels_.contains(at->parent)) break;
    }
  }
  return nullptr;
}

bool VesselTree::is_led(pid_t sid) const {
  return std::any_of(vessels_.begin(), vessels_.end(), [sid](const auto& entry) { return entry.second.sid == sid; });
}

// What is left of the children of `parent` (makers first) has the session of somebody who is not above it.
void VesselTree::create_orphans(const VesselPlace& parent) {
  for (const VesselPlace& orphan : places_) {
    if (orphan.ppid != parent.pid || orphan.dead || vessels_.contains(orphan.pid)) continue;
    Entry& home = vessels_.at(parent.pid);
    home.vessel.process().adopt_orphans(true);
    const VesselPlace* ended = place_of(orphan.sid);
    if (ended != nullptr && leads_after_death(*ended) && !vessels_.contains(ended->pid) &&
        vessels_.contains(ended->ppid))
      create_ended(*ended);
    Entry* member = member_below(orphan.sid, parent.pid);
    if (member == nullptr && is_led(orphan.sid)) misplaced(orphan);
    // The stand-in has the leader's number where the session is yet to be, and any other where it is.
    Entry middle(Vessel::fork(member != nullptr ? member->vessel : home.vessel, member != nullptr ? 0 : orphan.sid));
    if (member == nullptr) middle.vessel.process().lead_session();
    middle.sid = orphan.sid;
    middle.pgid = member != nullptr ? member->pgid : orphan.sid;
    std::vector<pid_t> born;
    for (const VesselPlace& other : places_) {
      if (other.ppid != parent.pid || other.dead || other.sid != orphan.sid || vessels_.contains(other.pid)) continue;
      if (other.cloner != 0 && !vessels_.contains(other.cloner)) continue;
      create(other, middle);
      born.push_back(other.pid);
    }
    const pid_t number = middle.vessel.pid();
    middle.vessel.process().die(0, "crx");
    Entry& of = member != nullptr ? *member : home;
    of.vessel.process().reap(number);
    pending_sigchld_.insert(of.vessel.pid());
    home.vessel.process().adopt_orphans(false);
    for (const pid_t pid : born) {
      if (parent_of(pid) != parent.pid) misplaced(*place_of(pid));
      create_below(*place_of(pid));
    }
  }
}

// What is to be a zombie; it dies in finish().
void VesselTree::create_ended(const VesselPlace& place) {
  create(place, vessels_.at(place.ppid));
  if (place.sid != place.pid) return;
  Entry& entry = vessels_.at(place.pid);
  entry.vessel.process().lead_session();
  entry.sid = entry.pgid = place.pid;
}

// setpgid(2) in the order in which groups can be entered: their leaders first.
void VesselTree::enter_groups(pid_t sid) {
  const auto enter = [&](const VesselPlace& place) {
    const auto found = vessels_.find(place.pid);
    if (found == vessels_.end() || found->second.pgid == place.pgid) return;
    found->second.vessel.process().enter_group(place.pgid);
    found->second.pgid = place.pgid;
  };
  const pid_t outside = places_.front().pgid == places_.front().pid ? 0 : places_.front().pgid;
  for (const VesselPlace& place : places_) {
    if (place.sid == sid && place.pgid == place.pid) enter(place);
  }
  for (const VesselPlace& place : places_) {
    if (place.sid != sid || place.pgid == place.pid || place.pgid == outside || !vessels_.contains(place.pid)) continue;
    if (vessels_.at(place.pid).pgid == place.pgid) continue;
    const auto led = vessels_.find(place.pgid);
    if (led != vessels_.end() || place.pgid == sid) {
      enter(place);
      continue;
    }
    // Its leader has ended: a stand-in leads it until all who belong to it are in it.
    Entry& of = vessels_.at(place.pid);
    Vessel middle = Vessel::fork(of.vessel, place.pgid);
    middle.process().enter_group(place.pgid);
    for (const VesselPlace& member : places_) {
      if (member.pgid == place.pgid) enter(member);
    }
    middle.process().die(0, "crx");
    of.vessel.process().reap(place.pgid);
    pending_sigchld_.insert(place.pid);
  }
}

void VesselTree::finish(const std::vector<Dead>& dead) {
  for (const VesselPlace& place : places_) {
    if (place.unshare_flags != 0 && !place.dead) vessels_.at(place.pid).vessel.process().unshare(place.unshare_flags);
  }
  for (const VesselPlace& place : places_) {
    if (place.dead && !vessels_.contains(place.pid)) create_ended(place);
  }
  std::set<pid_t> sessions;
  for (const VesselPlace& place : places_) sessions.insert(place.sid);
  for (const pid_t sid : sessions) enter_groups(sid);
  for (const Dead& end : dead) {
    const auto found = vessels_.find(end.pid);
    if (found == vessels_.end()) continue;
    pending_sigchld_.insert(found->second.parent);
    found->second.vessel.process().die(end.status, end.comm);
    vessels_.erase(found);
  }
  for (const pid_t pid : pending_sigchld_) {
    if (Vessel* vessel = find(pid)) vessel->process().forget_children();
  }
  pending_sigchld_.clear();
}

void VesselTree::release() {
  for (auto& [pid, entry] : vessels_) entry.vessel.process().unleash();
  for (auto& [pid, entry] : vessels_) entry.vessel.process().release();
  vessels_.clear();
}

}  // namespace crx
