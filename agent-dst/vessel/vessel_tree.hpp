// The vessels of a tree, each at its place: parents, sessions, process groups, zombies.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent-dst/objects/pty_table.hpp"
#include "agent-dst/vessel/vessel.hpp"

namespace crx {

// A task of the tree as the source (or an image set) describes it.
struct VesselPlace {
  pid_t pid = 0;
  pid_t ppid = 0;  // 0: the root
  pid_t sid = 0;
  pid_t pgid = 0;
  bool dead = false;
  uint32_t terminal = 0;           // wire::TaskNode.terminal
  bool replaced = false;           // not what it was: its vessel goes, and those below it
  pid_t memory_donor = 0;          // wire::TaskNode.inherits
  uint32_t clone_flags = 0;        // wire::TaskNode.shares
  pid_t cloner = 0;                // wire::TaskNode.maker
  uint32_t unshare_flags = 0;      // wire::TaskNode.leaves
  uint32_t exit_signal = SIGCHLD;  // wire::TaskNode.exit_signal
};

// Owns the vessels; destroying it removes them all, children first. Single-threaded, as Vessel is.
//
// Who is in which session is decided by when a task was forked, before or after its parent became a leader; so vessels
// are forked in that order. A task whose session neither it nor its parent leads or inherits was orphaned: it comes
// into the world below a stand-in for what it descends from, or for a member of its session that is below its parent,
// which ends. See setsid(2), setpgid(2), credentials(7).
class VesselTree {
 public:
  VesselTree() = default;
  VesselTree(const VesselTree&) = delete;
  ~VesselTree();

  // Makes the vessels those of `places` (parents before their children, the root first): others go, new ones come.
  // cgroup_dir: of the root, see VesselPlan. Throws Error(refused) naming a PID that is taken, Error(peer) for a list
  // that is no tree. Zombies get theirs in finish().
  // ptys: makes the controlling terminals, which children get from their parents.
  void follow(const std::vector<VesselPlace>& places, int cgroup_dir, PtyTable& ptys);
  // When nothing is forked any more: process groups, and the zombies with their exit codes and names. Needs the last
  // layout's places.
  struct Dead {
    pid_t pid = 0;
    int status = 0;  // as waitpid(2) gives it
    std::string comm;
  };
  void finish(const std::vector<Dead>& dead);

  bool empty() const noexcept { return vessels_.empty(); }
  Vessel& root();
  // 0 before the first layout.
  pid_t root_pid() const noexcept { return places_.empty() ? 0 : places_.front().pid; }
  // Nullptr where there is none.
  Vessel* find(pid_t pid) noexcept;
  // Error(peer) where there is none.
  Vessel& at(pid_t pid);
  // The living, parents before their children.
  std::vector<Vessel*> all();
  const std::vector<VesselPlace>& places() const noexcept { return places_; }
  // Lets all go: see VesselProcess::release().
  void release();

 private:
  struct Entry {
    explicit Entry(Vessel v) : vessel(std::move(v)) {}
    Vessel vessel;
    pid_t sid = 0;  // as it is
    pid_t pgid = 0;
    pid_t parent = 0;
  };
  void remove(pid_t pid);
  bool leads_after_death(const VesselPlace& place) const;
  void remove_gone(const std::vector<VesselPlace>& before);
  void take_terminal(const VesselPlace& place);
  void create_root(int cgroup_dir);
  void create_below(const VesselPlace& place);
  void create_siblings(const VesselPlace& place);
  void create(const VesselPlace& place, Entry& parent);
  void create_ended(const VesselPlace& place);
  void create_orphans(const VesselPlace& parent);
  Entry* member_below(pid_t sid, pid_t above);
  bool is_led(pid_t sid) const;
  bool has_sibling_donor(const VesselPlace& place) const;
  Entry& sibling_of(const VesselPlace& place);
  void enter_groups(pid_t sid);
  const VesselPlace* place_of(pid_t pid) const;

  std::vector<VesselPlace> places_;
  PtyTable* ptys_ = nullptr;  // while following
  std::map<pid_t, Entry> vessels_;
  std::set<pid_t> pending_sigchld_;  // have had children that ended: SIGCHLD waits for them
};

}  // namespace crx
