#include "common/kernel/process/realtime.hpp"

#include <cstring>
#include <exception>
#include <optional>
#include <vector>

#include "common/base/log.hpp"
#include "common/proc/proc_dir.hpp"

namespace crx {
namespace {

template <typename Body>
void for_each_thread(pid_t pid, Body body) noexcept {
  try {
    const std::optional<ProcDir> process = ProcDir::open(pid);
    const auto threads = process ? process->threads() : std::nullopt;
    for (const pid_t tid : threads.value_or(std::vector<pid_t>())) body(tid, sched_attr(tid));
  } catch (const std::exception& error) {
    log::debug("cannot change the priority of the threads of process {}: {}", pid, error.what());
  }
}

bool set(pid_t tid, const SchedAttr& attr) noexcept {
  const int error = set_sched_attr(tid, attr);
  if (error != 0) log::debug("thread {} keeps its priority: {}", tid, std::strerror(error));
  return error == 0;
}

bool raise(pid_t tid, const SchedAttr& before, uint64_t flags) noexcept {
  if (before.policy != kSchedNormal) return false;
  SchedAttr attr;
  attr.policy = kSchedRr;
  attr.priority = 1;
  attr.flags = flags;
  return set(tid, attr);
}

}  // namespace

void make_realtime(pid_t pid) noexcept {
  for_each_thread(pid, [](pid_t tid, const SchedAttr& before) { raise(tid, before, 0); });
}

void make_usual(pid_t pid) noexcept {
  for_each_thread(pid, [](pid_t tid, const SchedAttr& now) {
    SchedAttr attr;
    attr.nice = nice_value(tid);
    if (now.policy == kSchedRr && now.priority == 1) set(tid, attr);
  });
}

// kSchedResetOnFork: hooks and other children that are started meanwhile keep the usual priority.
Realtime::Realtime(pid_t pid) noexcept {
  for_each_thread(pid, [this](pid_t tid, const SchedAttr& before) {
    if (raise(tid, before, kSchedResetOnFork)) before_.emplace_back(tid, before);
  });
}

Realtime::~Realtime() {
  for (auto [tid, attr] : before_) {
    attr.flags &= kSchedResetOnFork;
    set(tid, attr);
  }
}

}  // namespace crx
