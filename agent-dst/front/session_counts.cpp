// Counts the traffic of a session.
#include <algorithm>
#include <utility>

#include "agent-dst/front/session.hpp"
#include "common/base/clock.hpp"
#include "wire/limits.hpp"

namespace crx::front {
namespace {

// Bound for values that a peer reports, so that sums do not overflow.
constexpr uint64_t kMaxUs = uint64_t{1} << 50;

}  // namespace

SessionFigures Session::figures() const {
  SessionFigures out = figures_;
  out.age_us = monotonic_us() - began_us_;
  if (engine_gone_) out.state = "over";
  return out;
}

void Session::count_bytes(const wire::FrameHeader& header) {
  const uint64_t bytes = wire::kFrameHeaderBytes + header.length;
  figures_.wire_bytes += bytes;
  counters_.wire_bytes += bytes;
}

void Session::count_pages(const wire::PageBatch& batch) {
  const uint64_t content = total_pages(batch.ranges), zero = total_pages(batch.zero_ranges);
  figures_.content_pages += content;
  figures_.zero_pages += zero;
  counters_.content_pages += content;
  counters_.zero_pages += zero;
}

void Session::note(const wire::SessionMessage& message) {
  switch (message.body_case()) {
    case wire::SessionMessage::kLayout: {
      const auto& tasks = message.layout().tasks();
      figures_.processes = static_cast<unsigned>(
          std::count_if(tasks.begin(), tasks.end(), [](const wire::TaskNode& task) { return !task.dead(); }));
      break;
    }
    case wire::SessionMessage::kFreeze:
      figures_.state = "frozen";
      break;
    case wire::SessionMessage::kPrepared:
      figures_.state = "prepared";
      break;
    case wire::SessionMessage::kGo:
      stopped_us_ = static_cast<int64_t>(std::min(message.go().stopped_us(), kMaxUs));
      break;
    case wire::SessionMessage::kResumed:
      note_resumed(message.resumed());
      break;
    case wire::SessionMessage::kPreflightResult: {
      const auto& findings = message.preflight_result().findings();
      const bool fatal =
          std::any_of(findings.begin(), findings.end(), [](const wire::Finding& f) { return f.fatal(); });
      if (fatal && on_refusal_) std::exchange(on_refusal_, nullptr)();
      break;
    }
    default:
      break;
  }
}

void Session::note_resumed(const wire::Resumed& resumed) {
  if (stopped_us_ < 0 || figures_.downtime_us >= 0) return;
  const auto resume_us = static_cast<int64_t>(std::min(resumed.go_to_resume_us(), kMaxUs));
  figures_.downtime_us = stopped_us_ + resume_us;
  figures_.state = "resumed";
  const auto downtime = static_cast<uint64_t>(figures_.downtime_us);
  counters_.moved_processes += figures_.processes;
  ++counters_.downtimes;
  counters_.downtime_us += downtime;
  counters_.last_downtime_us = downtime;
}

}  // namespace crx::front
