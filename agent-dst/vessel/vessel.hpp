// A vessel: the process that becomes the moved task. It has the right PID from the start and is stopped under
// ptrace; its address space is emptied, mapped like the source's and filled while the source still runs.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "agent-dst/files/file_opener.hpp"
#include "agent-dst/vessel/shmem_table.hpp"
#include "common/base/fd.hpp"
#include "common/base/page.hpp"
#include "common/image/schema/crx.pb.h"
#include "common/image/schema/mm.pb.h"
#include "common/remote/arena.hpp"
#include "common/remote/batch.hpp"
#include "common/remote/remote_thread.hpp"
#include "common/remote/traced_thread.hpp"

namespace crx {

struct VesselState;

struct VesselPlan {
  pid_t pid = 0;  // wanted; set_tid of clone3(2)
  pid_t sid = 0;  // session and process group as in the images; where they are the task's own they are made
  pid_t pgid = 0;
  int cgroup_dir = -1;  // CLONE_INTO_CGROUP, -1 for none
};

struct Vma;

// Owns the process: destroying a Vessel kills it (PTRACE_O_EXITKILL besides), unless release() let it run.
// Single-threaded. The engine's thread that created it is its tracer. A vessel's parent is our own parent
// (CLONE_PARENT), its exit signal ours.
class Vessel {
 public:
  // The root of a tree. Error(refused) naming the process that has the PID, when it is taken.
  static Vessel create(const VesselPlan& plan);
  // A child of another vessel, or of that one's parent, in whose session and process group it is. It has nothing but an
  // arena of its own. pid 0: any number. Errors as above. shares: what it has in common with that vessel (sharing::).
  // With memory, it has that and no layout: all that is said of memory here goes to the other vessel. exit_signal: what
  // the parent is sent when it ends, 0 for nothing; a sibling has that of `from`.
  enum class Relation { child, sibling };
  static Vessel fork(Vessel& from, pid_t pid, uint32_t clone_flags = 0, Relation relation = Relation::child,
                     uint32_t exit_signal = SIGCHLD);
  // The same, which starts with the other's layout and pages; both share them until one of them is written. Errors as
  // above.
  static Vessel fork_with_memory(Vessel& from, pid_t pid, Relation relation, uint32_t clone_flags = 0,
                                 uint32_t exit_signal = SIGCHLD);
  Vessel(Vessel&& other) noexcept;
  Vessel& operator=(Vessel&&) = delete;
  ~Vessel();

  pid_t pid() const noexcept { return pid_; }
  int pidfd() const noexcept { return pidfd_.get(); }
  uint32_t clone_flags() const noexcept;  // with who made it (sharing::)

  // --- memory (rounds) ---
  // Makes the mappings equal to `mm`'s: unmaps, maps and mprotects what differs; untouched mappings keep their pages.
  // Contents of new mappings are empty (files: the file's). Moves the arena out of the way where needed.
  // accounted: starts of mappings that must be charged to the commit limit although they are not writable.
  // Returns the ranges that were (re)mapped, whose pages the vessel no longer has.
  std::vector<PageRange> apply_layout(const img::mm_entry& mm, const std::vector<uint64_t>& commit_charged,
                                      FileOpener& files, ShmemTable& shmem);
  // At the end: a mapping of the layout that grew together here from parts with histories of their own is one VMA at
  // the source; it is made anew as one, with its pages. Otherwise an mremap over it could fail in the task.
  void join_mappings(const std::vector<uint64_t>& commit_charged, FileOpener& files, ShmemTable& shmem);
  // Writes pages; `bytes` holds those of `ranges` one after another. Ranges outside the layout: Error(peer).
  void write_pages(const std::vector<PageRange>& ranges, std::span<const std::byte> bytes);
  // Makes pages absent again (anonymous memory: zero; private file mappings: the file's).
  void drop_pages(const std::vector<PageRange>& ranges);
  // Makes pages read as zeros: absent in anonymous memory, a zero page in a private file mapping.
  void clear_pages(const std::vector<PageRange>& ranges);
  // MADV_GUARD_INSTALL (Linux 6.13).
  void guard_pages(const std::vector<PageRange>& ranges);
  // At cutover: what must not be in force while pages are written (mlock, seals), and what extras tell of VMAs.
  void apply_vma_attributes(const img::crx_task_entry& extra);
  const img::mm_entry& layout() const noexcept;

  // Everything that was mapped goes; the next layout starts from nothing.
  void clear();

  // --- place in the tree ---
  // setsid(2): it leads a session and a group of its own. Those that are forked from then on are in it.
  void lead_session();
  // TIOCSCTTY of our descriptor of a terminal; no effect where it is the controlling terminal already.
  void control_terminal(int terminal);
  // What the process gets when it opens a path: our descriptor of that.
  Fd open_as(const std::string& path, int flags);
  // unshare(2) of descriptors or directories (sharing::): from here on they are its own, as they are.
  void leave(uint32_t shared);
  // setpgid(2).
  void enter_group(pid_t pgid);
  // prctl(PR_SET_CHILD_SUBREAPER).
  void adopt_orphans(bool adopt);
  // Ends the vessel as a zombie of its parent's, with the status as waitpid(2) gives it, and gives it up.
  void die(int status, const std::string& comm);
  // Waits, in the vessel, for a child that has ended for good; signals of its end are forgotten with forget_children().
  void reap(pid_t child);
  // Takes SIGCHLDs out of its queue that building the tree put there.
  void forget_children();

  // --- remote calls ---
  RemoteArena& arena() noexcept;
  // Before create_threads only thread 0 exists.
  RemoteThread& thread(std::size_t index);
  std::size_t thread_count() const noexcept;
  // One call of the leader; `what` names it in errors. Returns its result, or throws Error(kernel).
  template <typename... Args>
  int64_t call(const char* what, long nr, Args... args) {
    const ArenaScope scratch(arena());
    RemoteBatch one = batch(1);
    one.add(what, nr, args...);
    run_checked(one);
    return one.result(0);
  }
  // The same where failing is an expected outcome: returns the raw kernel result, -errno on failure.
  template <typename... Args>
  int64_t try_call(const char* what, long nr, Args... args) {
    const ArenaScope scratch(arena());
    RemoteBatch one = batch(1);
    one.add_optional(what, nr, args...);
    run_checked(one);
    return one.result(0);
  }
  // A batch with room for `calls`; see ArenaScope for how long it is valid.
  RemoteBatch batch(std::size_t calls) { return RemoteBatch(arena(), calls); }
  // Runs it in the leader and checks every result.
  void run_checked(RemoteBatch& batch);

  // --- descriptors ---
  // Before numbers up to `highest` are filled: the way that descriptors come is moved behind them (at most two calls).
  void plan_way(RemoteBatch& batch, int highest);
  // Adds the calls that give the task a duplicate of our descriptor `fd` as its number `target`
  // (pidfd_getfd + dup3 + close: at most five calls). The fd must stay open here until the batch ran.
  void plan_inject(RemoteBatch& batch, int fd, int target, bool cloexec);
  // The same, leaving it at whatever number the task got; returns the index of the call whose result is the number.
  std::size_t plan_borrow(RemoteBatch& batch, int fd);

  // --- cutover ---
  // Creates the other threads with the TIDs of the images (clone3 batch, CLONE_PTRACE); all stopped.
  void create_threads(const std::vector<pid_t>& tids);
  // PR_SET_MM_MAP: brk, code, data, stack, args, env, auxv and exe link of the layout.
  void set_mm_fields(int exe_fd);
  // Leaves the stub everywhere and unmaps the arena: afterwards no remote calls are possible; registers are free to
  // be set through traced().
  void close_arena() { close_arenas({this}); }
  // The same of many, all at once.
  static void close_arenas(const std::vector<Vessel*>& vessels);
  TracedThread& traced(std::size_t index);
  // One system call of the leader after close_arena(): args, then the address of a copy of `object` that lies below its
  // stack meanwhile. Registers, mask and memory are as before afterwards. The raw kernel result.
  int64_t post_arena_call(long nr, std::initializer_list<uint64_t> args, const void* object, std::size_t bytes);
  // Clears EXITKILL on all threads: from here on it outlives us.
  void unleash();
  // unleash(), and detaches all. The process then runs (or stays frozen by its cgroup).
  void release();

 private:
  void start_closing();
  void stop_calls();
  void protect(const Vma& vma, uint32_t prot);
  void advise_pages(const char* what, const std::vector<PageRange>& ranges, int advice);
  static Vessel fork_process(Vessel& from, pid_t pid, uint32_t clone_flags, uint32_t exit_signal, uint64_t flags);
  explicit Vessel(std::unique_ptr<VesselState> state);
  pid_t pid_ = 0;
  Fd pidfd_;
  std::unique_ptr<VesselState> state_;
};

}  // namespace crx
