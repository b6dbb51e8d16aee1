#include "common/image/image_reader.hpp"

#include <fmt/format.h>
#include <google/protobuf/message_lite.h>

#include <cstring>
#include <utility>

#include "common/base/error.hpp"
#include "common/image/magic.hpp"

namespace crx {

ImageReader::ImageReader(std::string name, std::string_view bytes) : name_(std::move(name)), bytes_(bytes) {
  const std::optional<uint32_t> kind = image_file::magic_of(name_);
  if (!kind) throw Error(ErrorCode::bug, "reading an image", "not the name of an image with entries").with_image(name_);
  if (*kind != magic::kInventory) {
    const uint32_t common = *kind == magic::kStats ? magic::kService : magic::kCommon;
    const uint32_t found = word("the file magic");
    if (found != common) fail(fmt::format("file magic is {:#x}, not {:#x}", found, common));
  }
  const uint32_t found = word("the type magic");
  if (found != *kind) fail(fmt::format("type magic is {:#x}, not {:#x}", found, *kind));
}

void ImageReader::fail(std::string_view reason) const {
  throw Error(ErrorCode::corrupt_image, "reading an image", fmt::format("entry {}: {}", entries_, reason))
      .with_image(name_);
}

uint32_t ImageReader::word(std::string_view what) {
  uint32_t value = 0;
  if (bytes_.size() - at_ < sizeof(value)) fail(fmt::format("the image ends before {}", what));
  std::memcpy(&value, bytes_.data() + at_, sizeof(value));
  at_ += sizeof(value);
  return value;
}

bool ImageReader::next(google::protobuf::MessageLite& message) {
  message.Clear();
  if (at_end()) return false;
  ++entries_;
  const std::size_t size = word("its length");
  if (size > kMaxEntryBytes) fail(fmt::format("{} bytes are more than the limit", size));
  if (size > bytes_.size() - at_) {
    fail(fmt::format("{} bytes announced, the image ends after {}", size, bytes_.size() - at_));
  }
  if (!message.ParsePartialFromArray(bytes_.data() + at_, static_cast<int>(size))) {
    fail("not a " + message.GetTypeName());
  }
  if (!message.IsInitialized()) {
    fail(fmt::format("{} lacks {}", message.GetTypeName(), message.InitializationErrorString()));
  }
  at_ += size;
  return true;
}

std::span<const std::byte> ImageReader::raw(uint64_t size) {
  if (size > bytes_.size() - at_) {
    fail(fmt::format("{} bytes should follow, the image ends after {}", size, bytes_.size() - at_));
  }
  const auto data = std::as_bytes(std::span(bytes_)).subspan(at_, size);
  at_ += size;
  return data;
}

std::span<const std::byte> ImageReader::raw_padded(uint64_t size, uint64_t alignment) {
  const auto data = raw(size);
  raw((alignment - size % alignment) % alignment);
  return data;
}

std::span<const std::byte> ImageReader::rest() {
  return raw(bytes_.size() - at_);
}

void ImageReader::expect_end() const {
  if (!at_end()) fail(fmt::format("{} bytes follow that do not belong there", bytes_.size() - at_));
}

}  // namespace crx
