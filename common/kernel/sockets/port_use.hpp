// Finds out why a port of the network namespace of the caller cannot be bound.
#pragma once

#include <cstdint>
#include <set>
#include <string>

namespace crx {

// For use after bind(2) or listen(2) failed with EADDRINUSE; type: SOCK_STREAM or SOCK_DGRAM. Gives the reason ("is in
// use here by pid 12 (nginx)") and the remedy. Closed TCP connections remain for a while without a process (TIME_WAIT,
// tcp(7)) and prevent sockets without SO_REUSEADDR from listening on the port.
struct PortTaken {
  std::string reason, remedy;
  std::set<uint16_t> lingers;  // when only such connections hold the port: the ports of their remote ends
};
PortTaken explain_port(int type, uint16_t port);

}  // namespace crx
