#include "common/kernel/introspect/kernel_sleeps.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_set>
#include <utility>

#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr std::size_t kMostTimers = 100'000;
constexpr std::size_t kMostBytes = 1024;        // of a structure that is read whole
constexpr uint64_t kMostStackBytes = 64 << 10;  // a thread has 16 KiB, with KASAN 32
constexpr unsigned kMostClocks = 16;
constexpr int kWalks = 2, kMostWalks = 10;
constexpr uint64_t kColourBits = 3;  // of a node's pointer to its parent
constexpr int64_t kNsPerSecond = 1'000'000'000;

using Bytes = std::array<std::byte, kMostBytes>;

template <typename T>
T get(const Bytes& bytes, uint64_t offset) {
  T value{};
  if (offset + sizeof value <= bytes.size()) std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

}  // namespace

std::optional<KernelSleeps> KernelSleeps::open() {
  std::optional<KernelReader> reader = KernelReader::open();
  if (!reader) return std::nullopt;
  try {
    KernelSleeps sleeps(std::move(*reader));
    if (sleeps.cpu_offsets_.empty() || sleeps.bases_ == 0) return std::nullopt;
    return sleeps;
  } catch (const Error&) {
    return std::nullopt;
  }
}

KernelSleeps::KernelSleeps(KernelReader reader) : reader_(std::move(reader)), traced_(reader_) {
  at_.stack = reader_.offset("task_struct", "stack");
  at_.block = reader_.offset("task_struct", "restart_block");
  at_.switches = reader_.offset("task_struct", "nvcsw");
  at_.clocks = reader_.offset("hrtimer_cpu_base", "clock_base");
  at_.cpu = reader_.offset("hrtimer_cpu_base", "cpu");
  at_.cpu_bytes = reader_.size("hrtimer_cpu_base");
  at_.cpu_base = reader_.offset("hrtimer_clock_base", "cpu_base");
  at_.clock_bytes = reader_.size("hrtimer_clock_base");
  at_.tree = reader_.offset("hrtimer_clock_base", "active.rb_root.rb_root.rb_node");
  at_.to_own = reader_.offset("hrtimer_clock_base", "offset");
  at_.node = reader_.offset("hrtimer", "node.node");
  at_.parent = at_.node + reader_.offset("rb_node", "__rb_parent_color");
  at_.left = at_.node + reader_.offset("rb_node", "rb_left");
  at_.right = at_.node + reader_.offset("rb_node", "rb_right");
  at_.due = reader_.offset("hrtimer", "_softexpires");
  at_.base = reader_.offset("hrtimer", "base");
  at_.timer_bytes = reader_.size("hrtimer");
  at_.task = reader_.offset("hrtimer_sleeper", "task");
  at_.sleeper_bytes = reader_.size("hrtimer_sleeper");
  at_.block_bytes = reader_.size("restart_block");
  at_.clock = reader_.offset("restart_block", "nanosleep.clockid");
  at_.remainder = reader_.offset("restart_block", "nanosleep.rmtp");
  at_.sleep_due = reader_.offset("restart_block", "nanosleep.expires");
  at_.futex = reader_.offset("restart_block", "futex.uaddr");
  at_.futex_due = reader_.offset("restart_block", "futex.time");
  at_.poll = reader_.offset("restart_block", "poll.ufds");
  at_.has_limit = reader_.offset("restart_block", "poll.has_timeout");
  at_.seconds = reader_.offset("restart_block", "poll.tv_sec");
  at_.nanoseconds = reader_.offset("restart_block", "poll.tv_nsec");
  if (std::max({at_.cpu_bytes, at_.sleeper_bytes, at_.block_bytes}) > kMostBytes) {
    throw Error(ErrorCode::unsupported, "reading the kernel's timers", "they are not as expected");
  }
  cpu_offsets_ = reader_.cpu_offsets();
  // Any timer knows the base of a CPU: here that of our own process's alarm (setitimer(2)).
  const uint64_t process = reader_.word(reader_.current_task() + reader_.offset("task_struct", "signal"));
  const uint64_t clock = reader_.word(process + reader_.offset("signal_struct", "real_timer") + at_.base);
  const uint64_t base = reader_.word(clock + at_.cpu_base);
  const uint32_t cpu = reader_.half(base + at_.cpu);
  if (base != 0 && cpu < cpu_offsets_.size()) bases_ = base - cpu_offsets_[cpu];
}

// False where the tree was seen to change. Bounded whatever the nodes say: none is visited twice.
bool KernelSleeps::walk(uint64_t root, uint64_t to_own, std::vector<ArmedTimer>& timers) const {
  struct Step {
    uint64_t node, parent;
  };
  std::vector<Step> left{{root, 0}};
  std::unordered_set<uint64_t> visited;
  Bytes bytes{};
  bool whole = true;
  while (!left.empty() && visited.size() < kMostTimers) {
    const auto [node, parent] = left.back();
    left.pop_back();
    if (node == 0 || !visited.insert(node).second) continue;
    const uint64_t addr = node - at_.node;
    const bool has_task = reader_.copy(addr, bytes.data(), at_.sleeper_bytes);
    if (!has_task && !reader_.copy(addr, bytes.data(), at_.timer_bytes)) {
      whole = false;
      continue;
    }
    whole = whole && (get<uint64_t>(bytes, at_.parent) & ~kColourBits) == parent;
    left.push_back({get<uint64_t>(bytes, at_.left), node});
    left.push_back({get<uint64_t>(bytes, at_.right), node});
    if (!has_task) continue;
    const auto expires = get<uint64_t>(bytes, at_.due);
    timers.push_back({addr, get<uint64_t>(bytes, at_.task), static_cast<int64_t>(expires - to_own), expires});
  }
  return whole;
}

// The clocks of one CPU.
bool KernelSleeps::walk_clocks(uint64_t base, std::vector<ArmedTimer>& timers) const {
  Bytes bytes{};
  bool whole = reader_.copy(base, bytes.data(), at_.cpu_bytes);
  for (unsigned i = 0; i < kMostClocks; ++i) {
    const uint64_t clock = at_.clocks + i * at_.clock_bytes;
    // Behind the last one is something else.
    if (get<uint64_t>(bytes, clock + at_.cpu_base) != base) break;
    whole = walk(get<uint64_t>(bytes, clock + at_.tree), get<uint64_t>(bytes, clock + at_.to_own), timers) && whole;
  }
  return whole;
}

std::vector<ArmedTimer> KernelSleeps::armed() const {
  std::vector<ArmedTimer> timers;
  for (const uint64_t cpu_offset : cpu_offsets_) {
    for (int turn = 0, whole = 0; whole < kWalks && turn < kMostWalks; ++turn)
      whole += walk_clocks(bases_ + cpu_offset, timers) ? 1 : 0;
  }
  std::sort(timers.begin(), timers.end());
  timers.erase(std::unique(timers.begin(), timers.end()), timers.end());
  return timers;
}

std::optional<ArmedTimer> KernelSleeps::timer_of(uint64_t task, const std::vector<ArmedTimer>& armed) const {
  const uint64_t stack = reader_.word(task + at_.stack);
  std::optional<ArmedTimer> found;
  for (const ArmedTimer& timer : armed) {
    if (timer.task != task || timer.addr - stack >= kMostStackBytes) continue;
    if (!found || timer.due_ns > found->due_ns) found = timer;
  }
  return found;
}

// The stack may hold anything since: only what the tree knows is a timer.
bool KernelSleeps::is_in_tree(const ArmedTimer& timer, uint64_t parent, uint64_t clock) const {
  const uint64_t node = timer.addr + at_.node;
  if (parent == 0) return reader_.word(clock + at_.tree) == node;
  return reader_.word(parent + at_.left - at_.node) == node || reader_.word(parent + at_.right - at_.node) == node;
}

std::optional<int64_t> KernelSleeps::due_now(const ArmedTimer& timer) const {
  Bytes bytes{};
  if (!reader_.copy(timer.addr, bytes.data(), at_.sleeper_bytes) || get<uint64_t>(bytes, at_.task) != timer.task)
    return std::nullopt;
  if (!is_in_tree(timer, get<uint64_t>(bytes, at_.parent) & ~kColourBits, get<uint64_t>(bytes, at_.base)))
    return std::nullopt;
  return static_cast<int64_t>(get<uint64_t>(bytes, at_.due) - timer.expires + static_cast<uint64_t>(timer.due_ns));
}

RestartBlock KernelSleeps::restart_block(uint64_t task) const {
  RestartBlock block;
  Bytes bytes{};
  if (!reader_.copy(task + at_.block, bytes.data(), at_.block_bytes)) return block;
  block.sleep = {get<int32_t>(bytes, at_.clock), get<uint64_t>(bytes, at_.remainder),
                 get<int64_t>(bytes, at_.sleep_due)};
  block.futex = {get<uint64_t>(bytes, at_.futex), get<int64_t>(bytes, at_.futex_due)};
  const auto seconds = get<int64_t>(bytes, at_.seconds);
  const bool plain = seconds >= 0 && seconds < INT64_MAX / kNsPerSecond;
  block.poll = {get<uint64_t>(bytes, at_.poll), get<int32_t>(bytes, at_.has_limit) != 0,
                plain ? seconds * kNsPerSecond + get<int64_t>(bytes, at_.nanoseconds) : INT64_MAX};
  return block;
}

}  // namespace crx
