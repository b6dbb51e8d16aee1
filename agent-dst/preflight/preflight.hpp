// Checks what a tree needs at the destination.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent-dst/files/file_rules.hpp"
#include "agent-dst/ipc/engine_options.hpp"
#include "agent-dst/preflight/file_comparison.hpp"
#include "wire/messages.pb.h"

namespace crx {

// Checks PIDs, memory, huge pages, ports, addresses, users, control groups and files against this host; one Finding for
// each problem. Changes nothing; each port is bound for a moment. Throws Error(peer) when the session ends meanwhile.
std::vector<wire::Finding> check_preflight(const wire::Preflight& preflight, const wire::Hello& hello,
                                           const EngineOptions& options, FileComparison& comparison);
// The part that compares files. with_files: the source may carry files along. policy: says where files may be made.
std::vector<wire::Finding> check_files(const google::protobuf::RepeatedPtrField<wire::FileIdentity>& files,
                                       bool with_files, const Policy& policy, FileComparison& comparison);
// Returns the files that `findings`, the answer to `preflight`, asks the source to carry, each with the ids of the
// first task that uses it.
std::map<std::string, CarryPermit> carry_permits(const wire::Preflight& preflight,
                                                 const std::vector<wire::Finding>& findings, const Policy& policy);

}  // namespace crx
