// A made-up report of a migration with five rounds.
#pragma once

#include "agent-src/report/report.hpp"

namespace crx {

// The phases add up to total_us, the steps of the stop to downtime_us; names hold what HTML must not show as it is.
inline MigrationReport sample_report() {
  MigrationReport report;
  report.session = "0123456789abcdef0123456789abcdef";
  report.pid = 4711;
  report.comm = "prog<&>\xff";
  report.source = {"host-a", "6.1.0", "0.1.0"};
  report.destination = {"host-b", "6.18.5", "0.1.0"};
  report.started_ns = 1'800'000'000'000'000'000;
  report.total_us = 2'345'678;
  report.phases = {{"greeting", 20'000},  {"preflight", 19'000},      {"start of tracking", 1'000},
                   {"rounds", 2'290'222}, {"before the stop", 2'000}, {"stop", 13'456}};
  report.downtime_us = 12'345;
  report.frozen_us = 13'456;
  report.memory_bytes = uint64_t{1} << 30;
  int64_t at = 40'000;
  uint64_t pages = 262'144;
  for (uint32_t number = 1; number <= 5; ++number) {
    RoundReport round;
    round.round = number;
    round.is_final = number == 5;
    round.start_us = at;
    round.duration_us = number == 1 ? 1'900'000 : number == 5 ? 3'400 : 140'000 / number;
    round.scan_us = 2'100;
    round.bytes_scanned = uint64_t{1} << 30;
    round.bytes_dirty = pages * 4096;
    round.pages_sent = pages;
    round.pages_zero = pages / 5;
    round.pages_compressed = pages / 2;
    round.pages_raw = pages - round.pages_zero - round.pages_compressed;
    round.bytes_wire = pages * 2048;
    report.pages_sent += pages;
    report.bytes_wire += round.bytes_wire;
    report.rounds.push_back(round);
    at += round.duration_us + 5'000;
    pages = pages / 9 + 20;
  }
  report.bytes_raw = report.pages_sent * 4096;
  report.cutover = {550,
                    2'900,
                    1'200,
                    1'800,
                    4'000,
                    700,
                    300,
                    at,
                    {{"freeze", 550}, {"collect", 2'900}, {"build there", 8'000}, {"GO travels", 60}, {"resume", 835}},
                    {{"maps", 180}, {"fds <3>", 260}},
                    {{"threads", 370}}};
  report.verify = VerifyResult::ok;
  report.tracker = "wp-async";
  report.compress = "zstd:1";
  return report;
}

}  // namespace crx
