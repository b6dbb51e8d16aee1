// Segments that the program has set up itself (modify_ldt(2), set_thread_area(2)), as emulators of older systems do:
// refused in the stop.
#include <asm/ldt.h>
#include <sys/syscall.h>

#include <vector>

#include "agent-src/collect/kind/registry.hpp"
#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr int kFirstSlot = 12, kSlots = 3;  // GDT_ENTRY_TLS_MIN, _ENTRIES of 64-bit kernels
constexpr std::size_t kLdtEntryBytes = LDT_ENTRY_SIZE;

// Whether this is the kernel's answer for a slot that was never set (arch/x86/kernel/tls.c).
bool is_empty(const user_desc& slot) {
  return slot.base_addr == 0 && slot.limit == 0 && slot.seg_not_present != 0;
}

class Segments final : public Collector {
 public:
  const char* name() const override { return "segments"; }

  void plan(CollectContext& context, BatchPlan& plan) override {
    calls_.clear();
    const auto entry = context.task.arena().allocate<uint64_t>(kLdtEntryBytes / sizeof(uint64_t));
    table_ = plan.leader.add_optional("looking for segments", SYS_modify_ldt, 0, entry.remote, kLdtEntryBytes);
    slots_ = context.task.arena().allocate<user_desc>(plan.threads.size() * kSlots);
    for (std::size_t i = 0; i < plan.threads.size() * kSlots; ++i) {
      slots_.local[i].entry_number = static_cast<unsigned>(kFirstSlot + static_cast<int>(i % kSlots));
      calls_.push_back(
          plan.threads[i / kSlots].add_optional("looking for segments", SYS_get_thread_area, slots_.at(i)));
    }
  }

  void collect(CollectContext& context, const BatchPlan& plan) override {
    // The result is the number of bytes asked for if there is a table, otherwise 0.
    if (plan.leader.result(table_) == static_cast<int64_t>(kLdtEntryBytes)) {
      refuse("modify_ldt", context.task.pid());
    }
    for (std::size_t i = 0; i < calls_.size(); ++i) {
      if (plan.threads[i / kSlots].result(calls_[i]) == 0 && !is_empty(slots_.local[i])) {
        refuse("set_thread_area", context.task.threads()[i / kSlots].tid());
      }
    }
  }

 private:
  [[noreturn]] static void refuse(const char* call, pid_t pid) {
    throw Error(ErrorCode::refused, "collecting segments",
                std::string("it has segments of its own (") + call + "), which cannot be moved")
        .with_pid(pid)
        .with_hint("let the program not run code of 16 or 32 bits");
  }

  ArenaPiece<user_desc> slots_;  // one set per thread
  std::size_t table_ = 0;
  std::vector<std::size_t> calls_;
};

}  // namespace

CollectorPtr make_segments_collector() {
  return std::make_unique<Segments>();
}

}  // namespace crx
