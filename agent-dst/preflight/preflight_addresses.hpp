// Preflight for the network addresses of a tree.
#pragma once

#include <vector>

#include "wire/messages.pb.h"

namespace crx {

// Addresses that this host does not have; none where a hook, on either side, may bring them. Ports: see host_needs.hpp.
std::vector<wire::Finding> check_addresses(const wire::Preflight& preflight, bool hooked);

}  // namespace crx
