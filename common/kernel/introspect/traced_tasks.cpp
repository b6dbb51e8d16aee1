#include "common/kernel/introspect/traced_tasks.hpp"

namespace crx {
namespace {

constexpr int kMaxTraced = 100'000;

}  // namespace

TracedTasks::TracedTasks(const KernelReader& reader)
    : ptraced_(reader.offset("task_struct", "ptraced")),
      ptrace_entry_(reader.offset("task_struct", "ptrace_entry")),
      thread_pid_(reader.offset("task_struct", "thread_pid")),
      level_(reader.offset("pid", "level")),
      numbers_(reader.offset("pid", "numbers")),
      upid_bytes_(reader.size("upid")),
      number_at_(reader.offset("upid", "nr")) {}

// The list begins with who was seized last (__ptrace_link in kernel/ptrace.c).
std::map<pid_t, uint64_t> TracedTasks::find(const KernelReader& reader, std::set<pid_t> tids) const {
  std::map<pid_t, uint64_t> found;
  const uint64_t head = reader.current_task() + ptraced_;
  uint64_t node = reader.word(head);
  for (int turn = 0; !tids.empty() && node != head && node != 0 && turn < kMaxTraced;
       ++turn, node = reader.word(node)) {
    const uint64_t task = node - ptrace_entry_;
    const uint64_t its = reader.word(task + thread_pid_);
    // Its number in the innermost namespace that it is in, which is ours.
    const uint64_t number = its + numbers_ + reader.half(its + level_) * upid_bytes_ + number_at_;
    const auto tid = static_cast<pid_t>(reader.half(number));
    if (tids.erase(tid) != 0) found[tid] = task;
  }
  return found;
}

}  // namespace crx
