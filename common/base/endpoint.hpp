// HOST:PORT as options give it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace crx {

struct Endpoint {
  std::string host;  // a name or an address, IPv6 without brackets
  uint16_t port = 0;
  bool operator==(const Endpoint&) const = default;
  // "host:7000", "[::1]:7000"
  std::string text() const;
};

// "host:7000", "10.0.0.1:7000", "[::1]:7000". An empty host (":7000") and port 0 are allowed here. Nothing when it is
// malformed; an IPv6 address needs its brackets.
std::optional<Endpoint> parse_endpoint(std::string_view text);

}  // namespace crx
