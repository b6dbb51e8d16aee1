// The make-up of the images of each kind: the entries, and the data that follow some of them.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "common/image/image_reader.hpp"

namespace google::protobuf {
class Message;
}

namespace crx {

class ImageVisitor {
 public:
  virtual ~ImageVisitor() = default;
  virtual void entry(google::protobuf::Message& message) = 0;
  // The data that follow the entry that was visited last, without their padding up to a multiple of `alignment`.
  virtual void data(std::span<const std::byte> bytes, std::size_t alignment) = 0;
};

// Visits an image from its beginning to its end. Throws Error(unsupported) for an image whose entries are not known
// here, and Error(corrupt_image), after the whole entries before it, for one that is damaged.
void walk_image(ImageReader reader, ImageVisitor& visitor);

// The image as it is written from what was read: in protobuf's own encoding, without fields and bytes that crx does not
// know. Throws as walk_image() does, and Error(unsupported) for a name that is no image's.
std::string rewritten_image(const std::string& name, std::string_view bytes);

}  // namespace crx
