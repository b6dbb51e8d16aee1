// Converts FileIdentity to its message and back.
#pragma once

#include "common/kernel/files/file_identity.hpp"
#include "wire/messages.pb.h"

namespace crx::wire {

FileIdentity to_message(const crx::FileIdentity& file);
crx::FileIdentity from_message(const FileIdentity& message);

}  // namespace crx::wire
