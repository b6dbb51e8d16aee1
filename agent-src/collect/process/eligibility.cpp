// Refuses, by name, the kinds of process that crx cannot move at all.
#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent-src/collect/kind/registry.hpp"
#include "agent-src/tree/process_tree.hpp"
#include "agent-src/tree/session_topology.hpp"
#include "common/base/error.hpp"
#include "common/kernel/process/kcmp.hpp"
#include "common/plan/fork_plan.hpp"
#include "common/proc/limits.hpp"
#include "common/proc/proc_dir.hpp"
#include "common/proc/stat.hpp"
#include "common/proc/status.hpp"

namespace crx {
namespace {

const char* name_of(uint32_t shared) {
  if ((shared & sharing::kMemory) != 0) return "memory";
  if ((shared & sharing::kSignalHandlers) != 0) return "signal handlers";
  if ((shared & sharing::kDescriptors) != 0) return "descriptors";
  if ((shared & sharing::kFilesystem) != 0) return "working directory";
  return "";
}

constexpr const char* kEndOne = "end one of the two before moving the program";
constexpr const char* kHandedDown =
    "what clone(2) shares must come from a parent that has it, or from a child of the same parent: end one of the two";

bool is_gone(pid_t pid, const std::vector<TaskNode>& tree) {
  const auto task = std::find_if(tree.begin(), tree.end(), [pid](const TaskNode& t) { return t.pid == pid; });
  return task == tree.end() || has_ended(*task);
}

// Returns all traced processes of this host as (tracer, traced): one pass for the whole tree.
std::vector<std::pair<pid_t, pid_t>> traced_processes() {
  constexpr std::string_view kField = "\nTracerPid:\t";
  std::vector<std::pair<pid_t, pid_t>> found;
  for (const pid_t pid : list_processes()) {
    const std::string status = try_read_file(fmt::format("/proc/{}/status", pid)).value_or("");
    const std::size_t at = status.find(kField);
    if (at == std::string::npos) continue;
    if (const int tracer = std::atoi(status.c_str() + at + kField.size()); tracer > 0) found.emplace_back(tracer, pid);
  }
  return found;
}

constexpr const char* kJoinDescriptors = "let that thread end, or leave its descriptors to the others'";

std::string own_descriptors(pid_t tid) {
  return fmt::format("its thread {} has descriptors of its own (unshare(CLONE_FILES))", tid);
}

// An exiting thread has released its descriptors, which is not the same as having its own.
bool is_thread_ending(pid_t pid, pid_t tid) {
  constexpr uint32_t kExiting = 0x4;  // PF_EXITING, proc(5)
  const std::optional<ProcDir> process = ProcDir::open(pid);
  const std::optional<proc::Stat> stat = process ? process->stat(tid) : std::nullopt;
  return !stat || (stat->flags & kExiting) != 0;
}

// Returns the first thread that does not share the descriptor table of its process, 0 for none.
pid_t thread_with_descriptors(pid_t pid, const std::vector<pid_t>& tids) {
  for (const pid_t tid : tids) {
    if (tid != pid && !share(Shared::descriptors, pid, tid) && !is_thread_ending(pid, tid) &&
        !is_thread_ending(pid, pid))
      return tid;
  }
  return 0;
}

class Inspection {
 public:
  explicit Inspection(InspectContext& context) : context_(context), object_(fmt::format("pid {}", context.pid)) {}

  void run() {
    const auto status = proc::parse_status(read_file(context_.proc + "status"));
    const bool ended = status.state == 'Z' || status.state == 'X';
    // A zombie moves as a zombie. A process with several threads is on its way there when its first thread is one.
    if (ended && context_.pid != context_.tree.front().pid && (status.threads <= 1 || is_ending(context_.pid))) return;
    state(status);
    if (status.kernel_thread || status.state == 'Z' || status.state == 'X' || status.tgid != status.pid) return;
    program();
    room(status);
    threads();
    others();
    namespaces();
  }

 private:
  void refuse(std::string reason, std::string remedy) {
    context_.refusals.push_back({object_, std::move(reason), std::move(remedy)});
  }

  void state(const proc::Status& status) {
    if (status.kernel_thread) refuse("is a kernel thread", "choose a process");
    if (status.tgid != status.pid) refuse(fmt::format("is a thread of process {}", status.tgid), "give that number");
    if (status.state == 'Z' || status.state == 'X') {
      refuse(status.threads > 1 ? "its first thread has ended" : "has ended", "it cannot be moved any more");
    }
    if (status.tracer_pid != 0) {
      const std::string tracer = comm_of(status.tracer_pid);
      refuse(fmt::format("is traced by process {} ({})", status.tracer_pid, tracer),
             tracer.starts_with("crx-") ? "try again when that is done" : "end the debugger first");
    }
    if (!status.x86_thread_features.empty()) {
      refuse("uses " + status.x86_thread_features + " (control-flow enforcement)",
             "start it with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off");
    }
  }

  void program() {
    const Fd exe = try_open(context_.proc + "exe", O_RDONLY);
    Elf64_Ehdr header{};
    if (!exe || ::pread(exe.get(), &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header)) return;
    if (header.e_ident[EI_CLASS] == ELFCLASS32) refuse("is a 32-bit program", "crx moves 64-bit programs");
  }

  // Checks that the limit of address space leaves room for the arena that is mapped in the stop.
  void room(const proc::Status& status) {
    const uint64_t limit = proc::parse_limits(read_file(context_.proc + "limits")).at(RLIMIT_AS).soft;
    const uint64_t used = status.vm_size_kib << 10,
                   needed = FrozenTask::arena_bytes(static_cast<std::size_t>(status.threads));
    if (limit >= used + needed) return;
    refuse(fmt::format("has {} KiB left of its limit of address space, and {} KiB are needed in the stop",
                       limit > used ? (limit - used) >> 10 : 0, needed >> 10),
           "raise it (prlimit --as)");
  }

  void threads() {
    if (const pid_t tid = thread_with_descriptors(context_.pid, list_threads(context_.pid)); tid != 0)
      refuse(own_descriptors(tid), kJoinDescriptors);
  }

  void others() {
    for (const pid_t other : list_processes()) {
      if (other == context_.pid) continue;
      const bool inside =
          std::any_of(context_.tree.begin(), context_.tree.end(), [&](const TaskNode& t) { return t.pid == other; });
      // A vfork child shares memory until it calls execve, and the stop waits for that. An exiting process has no
      // memory any more, and kcmp(2) reports that as equal to a kernel thread's.
      const uint32_t shared = inside ? 0 : shared_things(context_.pid, other);
      if (shared != 0 && !is_gone(context_.pid, context_.tree)) {
        refuse(fmt::format("shares its {} with process {} ({})", name_of(shared), other, comm_of(other)),
               "move the process that both come from");
      }
    }
  }

  // Where the process has another number inside its own PID namespace: which one.
  std::string number_inside() const {
    const std::optional<ProcDir> process = ProcDir::open(context_.pid);
    const std::optional<proc::Status> status = process ? process->status() : std::nullopt;
    if (!status || status->ns_tgid.size() < 2) return {};
    return fmt::format(", where its PID is {}", status->ns_tgid.back());
  }

  // The time namespace may differ, since clocks are carried; so may the one for future children.
  void namespaces() {
    for (const char* name : {"mnt", "net", "pid", "uts", "ipc", "user", "cgroup"}) {
      const auto its = try_read_link(AT_FDCWD, fmt::format("{}ns/{}", context_.proc, name));
      const auto ours = try_read_link(AT_FDCWD, fmt::format("/proc/self/ns/{}", name));
      if (!its || its == ours) continue;
      refuse(fmt::format("is in another {} namespace than crx", name),
             fmt::format("run crx-migrate inside it (nsenter -t {} -a){}", context_.pid, number_inside()));
    }
  }

  InspectContext& context_;
  std::string object_;
};

class Eligibility final : public Collector {
 public:
  const char* name() const override { return "process"; }

  void inspect(InspectContext& context) override { Inspection(context).run(); }

  void collect(CollectContext& context, const BatchPlan&) override {
    std::vector<pid_t> tids;
    for (const FrozenThread& thread : context.task.threads()) tids.push_back(thread.tid());
    if (const pid_t tid = thread_with_descriptors(context.task.pid(), tids); tid != 0) {
      throw Error(ErrorCode::unsupported, "collecting the process", own_descriptors(tid))
          .with_pid(context.task.pid())
          .with_hint(kJoinDescriptors);
    }
  }

  void inspect_tree(InspectContext& context) override {
    for (const auto& [tracer, traced] : traced_processes()) {
      const auto is_tracer = [pid = tracer](const TaskNode& task) { return task.pid == pid; };
      if (std::none_of(context.tree.begin(), context.tree.end(), is_tracer)) continue;
      context.refusals.push_back({fmt::format("pid {}", tracer),
                                  fmt::format("traces process {} ({})", traced, comm_of(traced)),
                                  "let it detach first"});
    }
    for (const SharingConflict& found : sharing_conflicts(context.tree)) {
      if (is_gone(found.pid, context.tree) || is_gone(found.other, context.tree))
        continue;  // an exiting process has none of these objects, and kcmp(2) reports that as shared
      context.refusals.push_back({fmt::format("pid {}", found.pid), said_of(found), kHandedDown});
    }
    const std::vector<SessionConflict> sessions = session_conflicts(context.tree);
    for (const SessionConflict& found : sessions) {
      context.refusals.push_back({fmt::format("pid {}", found.pid), said_of(found), kEndOne});
    }
    if (!sessions.empty() || !sharing_conflicts(context.tree).empty()) return;
    const std::optional<ForkConflict> found = find_fork_conflict(context.tree);
    if (found && !is_gone(found->pid, context.tree))
      context.refusals.push_back({fmt::format("pid {}", found->pid), found->reason, found->remedy});
  }

  void collect_tree(CollectContext& context) override {
    for (const SharingConflict& found : sharing_conflicts(context.tree.members())) {
      throw Error(ErrorCode::unsupported, "collecting the tree", said_of(found))
          .with_pid(found.pid)
          .with_hint(kHandedDown);
    }
    for (const SessionConflict& found : session_conflicts(context.tree.members())) {
      throw Error(ErrorCode::unsupported, "collecting the tree", said_of(found)).with_pid(found.pid).with_hint(kEndOne);
    }
    if (const std::optional<ForkConflict> found = find_fork_conflict(context.tree.members())) {
      throw Error(ErrorCode::unsupported, "collecting the tree", found->reason)
          .with_pid(found->pid)
          .with_hint(found->remedy);
    }
  }

 private:
  static std::string said_of(const SharingConflict& found) {
    return fmt::format("shares its {} with process {}, and not by way of a parent or sibling", name_of(found.what),
                       found.other);
  }
  static std::string said_of(const SessionConflict& found) {
    return fmt::format(
        "is in session {}, whose leader has ended, as process {} is, and neither's parent is above the other's",
        found.sid, found.other);
  }
};

}  // namespace

CollectorPtr make_eligibility_collector() {
  return std::make_unique<Eligibility>();
}

}  // namespace crx
