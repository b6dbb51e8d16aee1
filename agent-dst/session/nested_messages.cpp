#include "agent-dst/session/nested_messages.hpp"

#include <string>

#include "common/base/error.hpp"
#include "common/image/kinds/image_walk.hpp"
#include "common/image/schema/files.pb.h"
#include "common/image/schema/ipc.pb.h"
#include "common/image/schema/mm.pb.h"
#include "common/image/schema/regular.pb.h"

namespace crx::session {
namespace {

template <typename Nested>
void rewrite(std::string& bytes, const char* what) {
  Nested nested;
  if (!nested.ParseFromString(bytes))
    throw Error(ErrorCode::peer, "reading a layout", std::string(what) + " does not parse");
  nested.DiscardUnknownFields();
  bytes = nested.SerializeAsString();
}

void rewrite_space(wire::SpaceLayout& space) {
  rewrite<img::mm_entry>(*space.mutable_mm(), "the memory description");
  for (std::string& bytes : *space.mutable_files()) rewrite<img::file_entry>(bytes, "a file entry");
  for (std::string& bytes : *space.mutable_memfds()) rewrite<img::memfd_inode_entry>(bytes, "a memfd entry");
  for (std::string& bytes : *space.mutable_segments()) rewrite<img::ipc_shm_entry>(bytes, "a segment");
}

}  // namespace

void rewrite_nested(wire::SessionMessage& message) {
  if (message.has_layout()) {
    for (wire::SpaceLayout& space : *message.mutable_layout()->mutable_spaces()) rewrite_space(space);
  }
  if (!message.has_images()) return;
  for (auto& file : *message.mutable_images()->mutable_files())
    *file.mutable_content() = rewritten_image(file.name(), file.content());
}

}  // namespace crx::session
