// The sessions that are open, with the rate at which each receives.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "agent-dst/ipc/session_figures.hpp"
#include "common/base/fd.hpp"

namespace crx::front {

// Single-threaded.
class OpenSessions {
 public:
  // figures: the memory of the session's counts. Throws Error if it is not as it must be.
  void add(const std::string& id, std::string peer, const Fd& figures);
  void remove(const std::string& id) { sessions_.erase(id); }
  // To be called every kSampleMs: rates are computed over kWindowUs.
  void sample();
  // Those whose figures are not among the agent's counters yet.
  std::vector<ipc::SessionFigures> list() const;

  static constexpr int64_t kSampleMs = 500;
  static constexpr int64_t kWindowUs = 3'000'000;

 private:
  struct Sample {
    int64_t us = 0;
    uint64_t bytes = 0;
  };
  struct Open {
    std::string peer;
    int64_t began_us;
    ipc::FiguresMemory figures;
    std::deque<Sample> samples;  // the oldest first
  };
  std::map<std::string, Open> sessions_;
};

}  // namespace crx::front
