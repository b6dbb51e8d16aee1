#include "agent-dst/front/open_sessions.hpp"

#include <algorithm>
#include <utility>

#include "common/base/clock.hpp"

namespace crx::front {

void OpenSessions::add(const std::string& id, std::string peer, const Fd& figures) {
  const int64_t now_us = monotonic_us();
  sessions_.insert_or_assign(id, Open{std::move(peer), now_us, ipc::FiguresMemory(figures, false), {{now_us, 0}}});
}

void OpenSessions::sample() {
  const int64_t now_us = monotonic_us();
  for (auto& [id, session] : sessions_) {
    std::deque<Sample>& samples = session.samples;
    while (samples.size() > 1 && now_us - samples[1].us >= kWindowUs) samples.pop_front();
    samples.push_back({now_us, session.figures.read().wire_bytes});
  }
}

std::vector<ipc::SessionFigures> OpenSessions::list() const {
  std::vector<ipc::SessionFigures> open;
  const int64_t now_us = monotonic_us();
  for (const auto& [id, session] : sessions_) {
    if (session.figures->counted) continue;
    ipc::SessionFigures figures = session.figures.read();
    figures.id = id;
    figures.peer = session.peer;
    figures.age_us = now_us - session.began_us;
    const Sample& oldest = session.samples.front();
    const int64_t span_us = std::max<int64_t>(now_us - oldest.us, 1);
    const uint64_t bytes = figures.wire_bytes - std::min(figures.wire_bytes, oldest.bytes);
    figures.bytes_per_second = static_cast<uint64_t>(static_cast<double>(bytes) * 1e6 / static_cast<double>(span_us));
    open.push_back(std::move(figures));
  }
  return open;
}

}  // namespace crx::front
