#include "common/image/image_io.hpp"

#include <google/protobuf/message_lite.h>

#include "common/base/error.hpp"
#include "common/image/magic.hpp"

namespace crx {
namespace {

void append_word(std::string& out, uint32_t value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

}  // namespace

std::string& ImageSink::begun(std::string_view name) {
  std::string& out = buffer(name);
  if (!out.empty()) return out;
  const std::optional<uint32_t> kind = image_file::magic_of(name);
  if (!kind) throw Error(ErrorCode::bug, "writing an image", std::string(name) + ": no such kind of image");
  if (*kind != magic::kInventory) append_word(out, *kind == magic::kStats ? magic::kService : magic::kCommon);
  append_word(out, *kind);
  return out;
}

void ImageSink::create(std::string_view name) {
  begun(name);
}

void ImageSink::append(std::string_view name, const google::protobuf::MessageLite& message) {
  if (!message.IsInitialized()) {
    throw Error(ErrorCode::bug, "writing an image",
                std::string(name) + ": " + message.GetTypeName() + " lacks " + message.InitializationErrorString());
  }
  const std::size_t size = message.ByteSizeLong();
  if (size > kMaxEntryBytes) {
    throw Error(ErrorCode::unsupported, "writing an image", std::string(name) + ": an entry is over the limit");
  }
  std::string& out = begun(name);
  append_word(out, static_cast<uint32_t>(size));
  message.AppendToString(&out);
}

void ImageSink::append_raw(std::string_view name, std::span<const std::byte> bytes) {
  begun(name).append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void ImageSink::append_padded(std::string_view name, std::span<const std::byte> bytes, std::size_t alignment) {
  append_raw(name, bytes);
  begun(name).append((alignment - bytes.size() % alignment) % alignment, '\0');
}

}  // namespace crx
