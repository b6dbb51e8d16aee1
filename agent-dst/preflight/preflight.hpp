// Checks what a tree needs at the destination.
#pragma once

#include <vector>

#include "agent-dst/ipc/engine_options.hpp"
#include "wire/messages.pb.h"

namespace crx {

// Checks PIDs, memory, huge pages, ports, addresses, users, control groups and files against this host; one Finding for
// each problem. Changes nothing; each port is bound for a moment.
std::vector<wire::Finding> check_preflight(const wire::Preflight& preflight, const wire::Hello& hello,
                                           const EngineOptions& options);
// The part that compares files.
std::vector<wire::Finding> check_files(const google::protobuf::RepeatedPtrField<wire::FileIdentity>& files,
                                       const wire::Hello& hello);

}  // namespace crx
