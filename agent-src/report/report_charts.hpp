// The charts of the page of --report.
#pragma once

#include <string>

#include "agent-src/report/report.hpp"

namespace crx {

// Each returns HTML. draw_phases: when each phase and round ran, until the end. draw_stop: the steps of the stop, whose
// sum is the downtime of a migration that came to be (done). draw_pages: the pages of each round by their encoding; bar
// lengths grow with the square root, since rounds shrink by powers of ten.
std::string draw_phases(const MigrationReport& report);
std::string draw_stop(const MigrationReport& report, bool done);
std::string draw_pages(const MigrationReport& report);

std::string round_name(const RoundReport& round);

}  // namespace crx
