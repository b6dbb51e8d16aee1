// Messages that others contain as bytes.
#pragma once

#include "wire/messages.pb.h"

namespace crx::session {

// Parses all images, and all descriptions of memory in layouts, and replaces each by what protobuf writes of it,
// without fields that crx does not know. Throws Error(peer) or Error(corrupt_image) if one does not parse.
void rewrite_nested(wire::SessionMessage& message);

}  // namespace crx::session
