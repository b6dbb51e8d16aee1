// Which congestion control the connections that carry pages ask for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace crx::wire {

// What fits better than `current` (its name, see tcp_congestion_control in tcp(7)) on a path whose smallest round trip
// is min_rtt_us; empty where the host's own choice is kept.
//
// bbr sends at the rate at which the last ten round trips were acknowledged. Within one site those are less than
// the time for which the receiving process waits for a core, so that it measures the scheduler and leaves network
// and cores idle: between two hosts on two cores a first round is 1.4 times as fast without it.
std::string_view better_congestion_control(std::string_view current, int64_t min_rtt_us);

// That of a socket; empty where the kernel does not say.
std::string congestion_control(int tcp_fd);

// Before connect(2): afterwards what bbr has set up (pacing) stays. Nothing is asked for by an empty name; what is
// refused changes no more than the speed.
void ask_congestion_control(int tcp_fd, std::string_view name) noexcept;

}  // namespace crx::wire
