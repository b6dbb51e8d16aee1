// Seccomp mode and filters of each thread. Threads usually share their filters: each program is stored once, as a chain
// from the newest to the oldest.
#include <fmt/format.h>

#include <cstring>
#include <map>
#include <tuple>
#include <vector>

#include "agent-src/collect/kind/registry.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/kernel/introspect/kernel_view.hpp"
#include "common/kernel/process/prctl_uapi.hpp"

namespace crx {
namespace {

constexpr uint32_t kNoFilter = ~0U;
constexpr unsigned kMaxFilters = 1024;
constexpr int64_t kLookMs = 2000;

struct Instruction {  // struct sock_filter
  uint16_t code;
  uint8_t jump_true, jump_false;
  uint32_t k;
};
constexpr uint16_t kReturnConstant = 0x06;  // BPF_RET | BPF_K

bool notifies_user(const std::vector<std::byte>& program) {
  for (std::size_t at = 0; at + sizeof(Instruction) <= program.size(); at += sizeof(Instruction)) {
    Instruction instruction;
    std::memcpy(&instruction, program.data() + at, sizeof instruction);
    if (instruction.code == kReturnConstant && (instruction.k & 0xffff0000U) == uapi::kSeccompRetUserNotify)
      return true;
  }
  return false;
}

class Seccomp final : public Collector {
 public:
  const char* name() const override { return "seccomp"; }
  bool serves_all() const override { return true; }

  // Filters can be read only from a stopped thread: the leader is stopped for a moment if there are any.
  void inspect(InspectContext& context) override {
    const auto status = proc::parse_status(read_file(context.proc + "status"));
    if (status.seccomp != img::filter || status.tracer_pid != 0 || status.state == 'Z') return;
    KernelView off(false);
    KernelView& kernel = context.options.kernel != nullptr ? *context.options.kernel : off;
    FrozenTask task = FrozenTask::freeze_leader(context.pid, Deadline::in_ms(kLookMs), false, kernel);
    bool listens = false;
    for (unsigned i = 0; i < kMaxFilters && !listens; ++i) {
      const auto program = task.leader().traced.seccomp_filter(i);
      if (!program) break;
      listens = notifies_user(*program);
    }
    task.thaw();
    if (listens) {
      context.refusals.push_back({fmt::format("pid {}", context.pid),
                                  "has a seccomp filter that asks a listener in user "
                                  "space",
                                  "such a process cannot be moved"});
    }
  }

  // ptrace reads filters from stopped threads only.
  void plan(CollectContext& context, BatchPlan&) override {
    for (std::size_t i = 0; i < context.cores.size(); ++i) {
      const uint32_t mode = context.statuses[i].seccomp;
      img::thread_core_entry& core = *context.core(i).mutable_thread_core();
      core.set_seccomp_mode(static_cast<img::seccomp_mode>(mode));
      if (mode == img::filter) core.set_seccomp_filter(add_chain(context.stopped_thread(i)));
    }
  }

  // Filters that several tasks have inherited are in the image once.
  void collect_tree(CollectContext& context) override {
    if (image_.seccomp_filters_size() != 0) context.images.append(image_file::kSeccomp, image_);
  }

 private:
  using Key = std::tuple<uint32_t, uint64_t, std::vector<std::byte>>;

  uint32_t add_chain(const TracedThread& thread) {
    unsigned count = 0;
    std::vector<std::pair<std::vector<std::byte>, uint64_t>> newest_first;
    for (; count < kMaxFilters; ++count) {
      auto program = thread.seccomp_filter(count);
      if (!program) break;
      if (notifies_user(*program)) {
        throw Error(ErrorCode::refused, "collecting seccomp filters",
                    "thread " + std::to_string(thread.tid()) + " has a filter that asks a listener in user space")
            .with_hint("such a process cannot be moved");
      }
      newest_first.emplace_back(std::move(*program), thread.seccomp_filter_flags(count).value_or(0));
    }
    uint32_t last = kNoFilter;
    for (auto filter = newest_first.rbegin(); filter != newest_first.rend(); ++filter) {
      const auto [slot, is_new] = known_.try_emplace(Key(last, filter->second, filter->first), 0);
      if (is_new) {
        slot->second = static_cast<uint32_t>(image_.seccomp_filters_size());
        img::seccomp_filter& entry = *image_.add_seccomp_filters();
        entry.set_filter(filter->first.data(), filter->first.size());
        if (last != kNoFilter) entry.set_prev(last);
        entry.set_flags(static_cast<uint32_t>(filter->second));
      }
      last = slot->second;
    }
    return last;
  }

  img::seccomp_entry image_;
  std::map<Key, uint32_t> known_;
};

}  // namespace

CollectorPtr make_seccomp_collector() {
  return std::make_unique<Seccomp>();
}

}  // namespace crx
