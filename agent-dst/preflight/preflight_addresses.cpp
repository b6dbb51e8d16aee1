#include "agent-dst/preflight/preflight_addresses.hpp"

#include <fmt/format.h>

#include "common/base/error.hpp"
#include "common/kernel/sockets/inet_address.hpp"

namespace crx {

std::vector<wire::Finding> check_addresses(const wire::Preflight& preflight, bool hooked) {
  std::vector<wire::Finding> findings;
  if (hooked) return findings;
  for (const wire::AddressUse& use : preflight.addresses()) {
    if (use.address().size() != 4 && use.address().size() != 16) {
      throw Error(ErrorCode::peer, "preflight", "an address is malformed");
    }
    const InetAddress address = InetAddress::from_raw(use.address(), 0);
    if (use.may_be_missing() || address.is_any() || address.is_multicast() || is_local_address(address)) continue;
    wire::Finding& finding = findings.emplace_back();
    finding.set_fatal(true);
    finding.set_object(use.used_by());
    finding.set_reason(fmt::format("the address {} is not on this host", address.host_text()));
    finding.set_remedy(
        "move it along with a --hook: away from the source at its stage frozen, to here at the destination's stage "
        "prepared");
  }
  return findings;
}

}  // namespace crx
