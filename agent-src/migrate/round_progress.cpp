#include "agent-src/migrate/round_progress.hpp"

#include <algorithm>

#include "common/base/clock.hpp"

namespace crx {
namespace {

constexpr int64_t kWindowUs = 3'000'000;

}  // namespace

RoundProgress::RoundProgress(MigrationObserver& observer, const wire::SourceLink& link, uint32_t round,
                             uint64_t planned_bytes)
    : observer_(observer),
      link_(link),
      round_(round),
      planned_bytes_(planned_bytes),
      sent_before_(link.statistics().bytes_sent),
      samples_{{monotonic_us(), 0}} {}

void RoundProgress::look() {
  const int64_t now_us = monotonic_us();
  if (now_us - samples_.back().us < kEveryMs * 1000) return;
  const wire::LinkStatistics statistics = link_.statistics();
  ProgressEvent event;
  event.round = round_;
  event.bytes_planned = planned_bytes_;
  event.bytes_done = std::min(planned_bytes_, skipped_bytes_ + statistics.bytes_sent - sent_before_);
  event.bytes_wire = statistics.bytes_wire;
  while (samples_.size() > 1 && now_us - samples_[1].us >= kWindowUs) samples_.pop_front();
  const double rate = static_cast<double>(event.bytes_done - samples_.front().bytes_done) * 1e6 /
                      static_cast<double>(now_us - samples_.front().us);
  event.bytes_per_second = static_cast<uint64_t>(rate);
  if (rate >= 1)
    event.left_us = static_cast<int64_t>(static_cast<double>(planned_bytes_ - event.bytes_done) * 1e6 / rate);
  samples_.push_back({now_us, event.bytes_done});
  observer_.progress(event);
}

}  // namespace crx
