// The single record of a migration: what the progress line, --json, --report and the benchmarks are made
// from.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/step_clock.hpp"

namespace crx {

// What a host says of itself in the handshake, as far as people want to read it.
struct HostSummary {
  std::string name;
  std::string kernel_release;
  std::string tool_version;
};

// One pre-copy round, or the final one inside the freeze (is_final).
struct RoundReport {
  uint32_t round = 0;  // from 1
  bool is_final = false;
  int64_t start_us = 0;     // since the migration began
  int64_t duration_us = 0;  // until the destination said that all of it is in the vessels
  int64_t scan_us = 0;      // of that: finding and re-arming the written pages
  uint64_t bytes_scanned = 0;
  uint64_t bytes_dirty = 0;  // found written (in round 1: present)
  uint64_t pages_sent = 0;   // of every kind
  uint64_t pages_raw = 0;
  uint64_t pages_zero = 0;
  uint64_t pages_delta = 0;
  uint64_t pages_compressed = 0;
  uint64_t bytes_wire = 0;  // what this round put on the connections
};

// Where the time of the stop went. The source's own clock but for apply, rebuild and resume, which the
// destination measured; transfer is what is left between the two. -1: not measured.
struct CutoverReport {
  int64_t freeze_us = -1;
  int64_t collect_us = -1;
  int64_t last_pages_us = -1;
  int64_t transfer_us = -1;
  int64_t apply_us = -1;
  int64_t rebuild_us = -1;
  int64_t commit_us = -1;
  int64_t resume_us = -1;
  int64_t start_us = 0;            // of the freeze, since the migration began
  std::vector<Step> source_steps;  // finer, in order; for tables only
  std::vector<Step> destination_steps;
};

enum class VerifyResult : uint8_t { off, ok };

struct MigrationReport {
  std::string session;
  pid_t pid = 0;  // of the root, on the source
  std::string comm;
  HostSummary source;
  HostSummary destination;
  int64_t started_ns = 0;        // CLOCK_REALTIME
  int64_t total_us = 0;          // from the start of crx-migrate until RESUMED
  int64_t downtime_us = 0;       // as the process saw it: first stop to last resume
  int64_t frozen_us = 0;         // as the source saw it: first stop until RESUMED arrived
  int64_t tracking_stop_us = 0;  // the one stop of the rounds, when tracking starts; 0: there was none
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

// The steps of the cutover that were measured, in order, with the names people read.
std::vector<Step> cutover_steps(const CutoverReport& cutover);

// One self-contained page (no script, no external resource; light and dark) with the rounds and the cutover
// drawn.
std::string render_html(const MigrationReport& report);
// Writes it beside the target and renames it there. Throws Error.
void write_html(const MigrationReport& report, const std::string& path);

}  // namespace crx
