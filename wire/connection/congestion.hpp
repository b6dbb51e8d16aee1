// Chooses the congestion control for the connections that carry pages.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace crx::wire {

// The name of a better congestion control than `current` (see tcp_congestion_control in tcp(7)) for a path whose
// smallest round trip is min_rtt_us microseconds; empty if the host's own choice is kept.
//
// bbr sends at the rate at which the last ten round trips were acknowledged. Within one site these are shorter than the
// time for which the receiving process waits for a core, so bbr measures the scheduler and leaves network and cores
// idle. Measured: between two hosts with two cores each, a first round is 1.4 times as fast without it.
std::string_view better_congestion_control(std::string_view current, int64_t min_rtt_us);

// The congestion control of a socket; empty if the kernel does not report it.
std::string congestion_control(int tcp_fd);

// Requests a congestion control. Must be called before connect(2): otherwise the pacing that bbr has set up stays. An
// empty name requests nothing. A refusal only affects the speed, so it is ignored.
void ask_congestion_control(int tcp_fd, std::string_view name) noexcept;

}  // namespace crx::wire
