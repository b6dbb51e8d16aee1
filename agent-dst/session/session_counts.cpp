// Counts the traffic of a session.
#include <algorithm>
#include <utility>

#include "agent-dst/session/session.hpp"
#include "common/base/clock.hpp"
#include "wire/limits.hpp"

namespace crx::session {
namespace {

// Bound for values that a peer reports, so that sums do not overflow.
constexpr uint64_t kMaxUs = uint64_t{1} << 50;

}  // namespace

void Session::count_bytes(const wire::FrameHeader& header) {
  figures_.wire_bytes += wire::kFrameHeaderBytes + header.length;
}

void Session::count_pages(const wire::PageBatch& batch) {
  figures_.content_pages += total_pages(batch.ranges);
  figures_.zero_pages += total_pages(batch.zero_ranges);
}

void Session::note(const wire::SessionMessage& message) {
  switch (message.body_case()) {
    case wire::SessionMessage::kLayout: {
      const auto& tasks = message.layout().tasks();
      figures_.processes = static_cast<uint32_t>(
          std::count_if(tasks.begin(), tasks.end(), [](const wire::TaskNode& task) { return !task.dead(); }));
      break;
    }
    case wire::SessionMessage::kFreeze:
      figures_.stage = ipc::SessionStage::frozen;
      break;
    case wire::SessionMessage::kPrepared:
      figures_.stage = ipc::SessionStage::prepared;
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
  if (stopped_us_ < 0 || figures_.downtime_us > 0) return;
  const auto resume_us = static_cast<int64_t>(std::min(resumed.go_to_resume_us(), kMaxUs));
  figures_.downtime_us = stopped_us_ + resume_us + 1;
  figures_.stage = ipc::SessionStage::resumed;
}

}  // namespace crx::session
