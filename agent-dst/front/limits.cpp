#include "agent-dst/front/limits.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <asio/ip/address_v4.hpp>
#include <asio/ip/address_v6.hpp>

#include "wire/limits.hpp"

namespace crx::front {
namespace {

constexpr std::size_t kFewestOfOwner = 64;
constexpr std::size_t kSessionConnections = 1 + wire::kMaxStreams;
constexpr std::size_t kSessionDescriptors = kSessionConnections + 4;  // with those to the engine
constexpr std::size_t kOwnDescriptors = 64;                           // listeners, the supervisor, the metrics pages

}  // namespace

std::size_t max_of_owner(unsigned max_sessions) {
  return std::max(kFewestOfOwner, max_sessions * kSessionConnections);
}

std::string owner_of(const asio::ip::address& address) {
  if (!address.is_v6()) return address.to_string();
  const asio::ip::address_v6 six = address.to_v6();
  if (six.is_v4_mapped()) return asio::ip::make_address_v4(asio::ip::v4_mapped, six).to_string();
  const auto bytes = six.to_bytes();
  return {bytes.begin(), bytes.begin() + 8};
}

void allow_descriptors(unsigned max_sessions) {
  const rlim_t count = 4 * max_of_owner(max_sessions) + max_sessions * kSessionDescriptors + kOwnDescriptors;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= count) return;
  limit.rlim_cur = std::min(count, limit.rlim_max);
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace crx::front
