// Preflight for the network addresses of a tree.
#pragma once

#include <vector>

#include "wire/messages.pb.h"

namespace crx {

// Reports addresses that this host does not have; none if there is a hook on either host, since it may add them. For
// ports see host_requirements.hpp.
std::vector<wire::Finding> check_addresses(const wire::Preflight& preflight, bool hooked);

}  // namespace crx
