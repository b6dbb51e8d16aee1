// The properties of a host that the handshake exchanges.
#pragma once

#include <string>
#include <vector>

#include "wire/messages.pb.h"

namespace crx::wire {

// Collects those of this host: kernel, boot id, CPU features, vDSO, free memory. Cheap; callable from any thread.
HostInfo local_host_info();

// The reasons why a task of `source` cannot run on `destination`, as far as kernels and CPUs are concerned; one Finding
// each.
std::vector<Finding> compare_hosts(const HostInfo& source, const HostInfo& destination);

}  // namespace crx::wire
