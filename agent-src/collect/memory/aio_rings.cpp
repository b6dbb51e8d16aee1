#include "agent-src/collect/memory/aio_rings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <thread>

#include "agent-src/collect/kind/registry.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/kernel/introspect/kernel_view.hpp"
#include "common/proc/maps.hpp"

namespace crx {
namespace {

constexpr int64_t kDiskRequestMs = 200;  // how long requests to disks may take
constexpr char kAioRingsStep[] = "collecting asynchronous I/O";
constexpr char kChanges[] = "its asynchronous I/O requests change while they are counted";

// Why the requests cannot be counted, and what helps.
std::string reason_of(const KernelView* kernel) {
  return "its asynchronous I/O requests in flight (io_submit) cannot be counted: " +
         (kernel != nullptr ? kernel->reason() : KernelView(false).reason());
}
std::string remedy_of(const KernelView* kernel) {
  return kernel != nullptr ? kernel->remedy() : KernelView(false).remedy();
}
const AioRequests* reader_of(KernelView* kernel) {
  return kernel != nullptr ? kernel->aio_requests() : nullptr;
}

class AioRings final : public Collector {
 public:
  const char* name() const override { return "asynchronous I/O"; }
  bool serves_all() const override { return true; }

  // Opens the reader, so that it is not opened in the stop.
  void inspect(InspectContext& context) override {
    KernelView* const kernel = context.options.kernel;
    if (list_aio_rings(context.pid).empty() || reader_of(kernel) != nullptr) return;
    context.refusals.push_back({fmt::format("pid {}", context.pid), reason_of(kernel), remedy_of(kernel)});
  }

  void plan(CollectContext& context, BatchPlan&) override {
    const pid_t pid = context.task.pid();
    const std::vector<PageRange> rings = list_aio_rings(pid);
    if (rings.empty()) return;
    KernelView* const kernel = context.options.kernel;
    const AioRequests* const reader = reader_of(kernel);
    if (reader == nullptr)
      throw Error(ErrorCode::refused, kAioRingsStep, reason_of(kernel)).with_pid(pid).with_hint(remedy_of(kernel));
    await_requests(*reader, pid, rings);
  }

 private:
  static void await_requests(const AioRequests& reader, pid_t pid, const std::vector<PageRange>& rings) {
    // Requests to disks complete soon, though the program is stopped; so wait for them.
    const Deadline deadline = Deadline::in_ms(kDiskRequestMs);
    for (;;) {
      uint64_t count = 0;
      const auto in_flight = reader.in_flight(pid);
      if (!in_flight) throw Error(ErrorCode::refused, kAioRingsStep, kChanges).with_pid(pid).with_hint("try again");
      for (const auto& [ring, requests] : *in_flight) count += requests;
      // fork(2) copies the mapping but not the context.
      const auto lost = std::find_if(rings.begin(), rings.end(),
                                     [&](const PageRange& ring) { return !in_flight->contains(ring.start); });
      if (lost != rings.end()) {
        throw Error(
            ErrorCode::refused, kAioRingsStep,
            fmt::format("the asynchronous I/O ring at {:#x} is that of a process that it was forked by", lost->start))
            .with_pid(pid)
            .with_hint("let it unmap the ring, or move the program when this process has ended");
      }
      if (count == 0) return;
      if (deadline.passed()) {
        throw Error(ErrorCode::refused, kAioRingsStep,
                    fmt::format("{} of its asynchronous I/O requests (io_submit) have not finished", count))
            .with_pid(pid)
            .with_hint("try again when they are done; what waits for others (IOCB_CMD_POLL) cannot be moved");
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
};

}  // namespace

std::vector<PageRange> list_aio_rings(pid_t pid) {
  std::vector<PageRange> rings;
  const std::string text = read_file(fmt::format("/proc/{}/maps", pid));
  std::string_view rest = text;
  // Search the text and do not parse all of it: most processes have no ring, and this is called in the stop.
  for (auto at = rest.find("/[aio]"); at != std::string_view::npos; at = rest.find("/[aio]", at + 1)) {
    const auto begin = rest.rfind('\n', at);
    const auto first = begin == std::string_view::npos ? 0 : begin + 1;
    const proc::MapsEntry entry = proc::parse_maps_line(rest.substr(first, rest.find('\n', at) - first));
    if (entry.kind == proc::MapKind::aio_ring) rings.push_back({entry.start, entry.end});
  }
  return rings;
}

CollectorPtr make_aio_rings_collector() {
  return std::make_unique<AioRings>();
}

}  // namespace crx
