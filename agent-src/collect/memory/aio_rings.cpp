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
#include "common/kernel/introspect/aio_requests.hpp"
#include "common/proc/maps.hpp"

namespace crx {
namespace {

constexpr int64_t kDiskRequestMs = 200;  // how long requests to disks may take
constexpr char kUnknown[] = "what is under way in its asynchronous I/O rings (io_setup) cannot be told here";
constexpr char kPrivileges[] = "run crx with CAP_BPF and CAP_PERFMON, on a kernel with CONFIG_DEBUG_INFO_BTF";

class AioRings final : public Collector {
 public:
  const char* name() const override { return "asynchronous I/O"; }
  bool serves_all() const override { return true; }

  void inspect(InspectContext& context) override {
    if (list_aio_rings(context.pid).empty() || AioRequests::open()) return;
    context.refusals.push_back({fmt::format("pid {}", context.pid), kUnknown, kPrivileges});
  }

  void plan(CollectContext& context, BatchPlan&) override {
    const pid_t pid = context.task.pid();
    const std::vector<PageRange> rings = list_aio_rings(pid);
    if (rings.empty()) return;
    if (!requests_) requests_ = AioRequests::open();
    if (!requests_)
      throw Error(ErrorCode::refused, "collecting asynchronous I/O", kUnknown).with_pid(pid).with_hint(kPrivileges);
    // Requests to disks complete soon, though the program is stopped; so wait for them.
    const Deadline deadline = Deadline::in_ms(kDiskRequestMs);
    for (;;) {
      uint64_t count = 0;
      const std::map<uint64_t, uint64_t> in_flight = requests_->under_way(pid);
      for (const auto& [ring, requests] : in_flight) count += requests;
      // fork(2) copies the mapping but not the context.
      const auto lost = std::find_if(rings.begin(), rings.end(),
                                     [&](const PageRange& ring) { return !in_flight.contains(ring.start); });
      if (lost != rings.end()) {
        throw Error(
            ErrorCode::refused, "collecting asynchronous I/O",
            fmt::format("the asynchronous I/O ring at {:#x} is that of a process that it was forked by", lost->start))
            .with_pid(pid)
            .with_hint("let it unmap the ring, or move the program when this process has ended");
      }
      if (count == 0) return;
      if (deadline.passed()) {
        throw Error(ErrorCode::refused, "collecting asynchronous I/O",
                    fmt::format("{} of its asynchronous I/O requests (io_submit) are under way", count))
            .with_pid(pid)
            .with_hint("try again when they are done; what waits for others (IOCB_CMD_POLL) cannot be moved");
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

 private:
  std::optional<AioRequests> requests_;
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
