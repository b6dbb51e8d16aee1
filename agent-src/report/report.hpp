// The single record of a migration, from which the progress line, --json, --report and the benchmarks are made.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "common/base/step_clock.hpp"

namespace crx {

// The description that a host gives in the handshake, as far as people need it.
struct HostSummary {
  std::string name;
  std::string kernel_release;
  std::string tool_version;
};

// One pre-copy round, or the last one in the stop (is_final).
struct RoundReport {
  uint32_t round = 0;  // from 1
  bool is_final = false;
  int64_t start_us = 0;     // since the migration began
  int64_t duration_us = 0;  // until the destination has reported that all of it is in the vessels
  int64_t scan_us = 0;      // part of it: finding the written pages and protecting them again
  uint64_t bytes_scanned = 0;
  uint64_t bytes_dirty = 0;  // found written (in round 1: present)
  uint64_t pages_sent = 0;   // of every kind
  uint64_t pages_raw = 0;
  uint64_t pages_zero = 0;
  uint64_t pages_compressed = 0;
  uint64_t bytes_wire = 0;  // bytes that this round put on the connections
};

// How the time of the stop was spent. All times are measured by the source's clock, except apply, rebuild and resume,
// which the destination measures. -1: not measured.
struct CutoverReport {
  int64_t freeze_us = -1;
  int64_t collect_us = -1;
  int64_t last_pages_us = -1;
  int64_t apply_us = -1;
  int64_t rebuild_us = -1;
  int64_t commit_us = -1;
  int64_t resume_us = -1;
  int64_t start_us = 0;  // of the stop, since the migration began
  // The stop without gaps, by the source's clock: from the first stop until Go is sent, then half a round trip and the
  // destination's time until the tree ran. Once it has moved, their sum is MigrationReport::downtime_us.
  std::vector<Step> stop_steps;
  std::vector<Step> source_steps;  // finer steps, in order; for tables only
  std::vector<Step> destination_steps;
};

enum class VerifyResult : uint8_t { off, ok };

// The phases of a migration, in order and without gaps.
inline constexpr std::array<const char*, 6> kPhases = {"greeting", "preflight",       "start of tracking",
                                                       "rounds",   "before the stop", "stop"};

struct MigrationReport {
  std::string session;
  pid_t pid = 0;  // of the root, on the source
  std::string comm;
  HostSummary source;
  HostSummary destination;
  int64_t started_ns = 0;        // CLOCK_REALTIME
  int64_t total_us = 0;          // from the start of crx-migrate until RESUMED, or until it failed
  std::vector<Step> phases;      // named as kPhases, as far as they were reached; their sum is total_us
  int64_t downtime_us = 0;       // as the process saw it: from its first stop to its last resume
  int64_t frozen_us = 0;         // as the source saw it: from the first stop until RESUMED arrived
  int64_t tracking_stop_us = 0;  // the one stop before the cutover, when tracking starts; 0: there was none
  uint64_t memory_bytes = 0;     // resident at the start
  std::vector<RoundReport> rounds;
  CutoverReport cutover;
  VerifyResult verify = VerifyResult::off;
  std::string tracker;   // "wp-async", "hash"
  std::string compress;  // "zstd:1", "none"
  // Totals over all connections.
  uint64_t pages_sent = 0;
  uint64_t bytes_raw = 0;  // pages_sent in bytes
  uint64_t bytes_wire = 0;
};

// Returns the measured steps of the cutover, in order, with their display names.
std::vector<Step> cutover_steps(const CutoverReport& cutover);

}  // namespace crx
