#include "common/base/endpoint.hpp"

#include <charconv>

namespace crx {

std::string Endpoint::text() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::optional<Endpoint> parse_endpoint(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if ((host.find(':') != std::string_view::npos) != bracketed) return std::nullopt;
  if (host.size() > 255 || host.find_first_of("[] \t\n/") != std::string_view::npos) return std::nullopt;
  Endpoint endpoint;
  endpoint.host = host;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
  if (port.empty() || error != std::errc() || end != port.data() + port.size()) return std::nullopt;
  return endpoint;
}

std::optional<Endpoint> parse_agent_endpoint(std::string_view text) {
  const bool bracketed = text.ends_with(']');
  const bool has_port = !bracketed && text.find(':') != std::string_view::npos;
  const bool is_number = text.find_first_not_of("0123456789") == std::string_view::npos;
  if (has_port || is_number) return parse_endpoint(text);
  return parse_endpoint(std::string(text) + ":" + std::to_string(kDefaultPort));
}

}  // namespace crx
