// Sets of capabilities as text (capabilities(7)).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace crx {

inline constexpr uint64_t kAllCapabilities = ~uint64_t{0};

// Parses "all", "none", or names separated by commas, such as "net_bind_service,CAP_SYS_NICE": with or without "cap_",
// in either case. Returns a set in which bit n is capability n (linux/capability.h); nullopt for an unknown name.
std::optional<uint64_t> parse_capabilities(std::string_view text);
// Returns "CAP_KILL, CAP_SYS_ADMIN". A capability without a name here is "capability 63".
std::string capability_names(uint64_t set);

}  // namespace crx
