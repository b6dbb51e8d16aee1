// What a host says of itself in the handshake.
#pragma once

#include <string>
#include <vector>

#include "wire/messages.pb.h"

namespace crx::wire {

// Asks this host: kernel, boot id, CPU features, vDSO, free memory. Cheap; any thread.
HostInfo local_host_info();

// Why a task of `source` cannot run on `destination`, as far as kernels and CPUs decide that; one Finding
// each.
std::vector<Finding> compare_hosts(const HostInfo& source, const HostInfo& destination);

}  // namespace crx::wire
