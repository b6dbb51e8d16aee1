// Who keeps a port of this host's network namespace from being taken.
#pragma once

#include <cstdint>
#include <set>
#include <string>

namespace crx {

// After bind(2) or listen(2) failed with EADDRINUSE; type: SOCK_STREAM or SOCK_DGRAM. What is the matter ("is in use
// here by pid 12 (nginx)"), and the remedy. TCP connections that are over linger without a process (TIME_WAIT, tcp(7)),
// and keep the port from those who listen without SO_REUSEADDR.
struct PortTaken {
  std::string reason, remedy;
  std::set<uint16_t> lingers;  // where there are only such connections: the ports of their other ends
};
PortTaken explain_port(int type, uint16_t port);

}  // namespace crx
