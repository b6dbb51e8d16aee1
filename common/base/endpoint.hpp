// A network address in the form HOST:PORT or HOST, as command line options take it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace crx {

// The port of crx-agent where none is given.
constexpr uint16_t kDefaultPort = 7077;

struct Endpoint {
  std::string host;  // a name or an address, IPv6 without brackets
  uint16_t port = 0;
  bool operator==(const Endpoint&) const = default;
  // "host:7077", "[::1]:7077"
  std::string text() const;
};

// Parses "host:7077", "10.0.0.1:7077" or "[::1]:7077"; an IPv6 address needs its brackets. An empty host (":7077") and
// port 0 are allowed. Returns nullopt for malformed text, and for text without a port.
std::optional<Endpoint> parse_endpoint(std::string_view text);

// As parse_endpoint, for the address of a crx-agent: "host", "10.0.0.1" and "[::1]" mean kDefaultPort. A number alone
// is no host, because it is rather a port whose host was forgotten.
std::optional<Endpoint> parse_agent_endpoint(std::string_view text);

}  // namespace crx
