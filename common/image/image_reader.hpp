// Reads one image: its entries, and the raw data that follows some of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace google::protobuf {
class MessageLite;
}

namespace crx {

// A longer entry is treated as damage (the largest real ones, mm images with 65,530 mappings, have 8 MB).
inline constexpr std::size_t kMaxEntryBytes = std::size_t{64} << 20;

// A cursor over the bytes of one image, which must outlive it. All functions throw Error(corrupt_image), which names
// the image and the number of the entry (from 1); the cursor must not be used after a throw.
class ImageReader {
 public:
  // Checks the magic numbers that belong to `name` (image_file::magic_of); a name without one is Error(bug).
  ImageReader(std::string name, std::string_view bytes);

  bool at_end() const noexcept { return at_ == bytes_.size(); }
  // Reads the next entry into `message`; false at the end of the image, with `message` cleared.
  bool next(google::protobuf::MessageLite& message);
  // Reads the next entry, which must exist.
  template <typename T>
  T expect() {
    T message;
    if (!next(message)) fail("an entry is missing");
    return message;
  }
  // The next `size` bytes, which follow an entry. The span points into the image.
  std::span<const std::byte> raw(uint64_t size);
  // Raw data followed by padding up to a multiple of `alignment`, as in IPC images.
  std::span<const std::byte> raw_padded(uint64_t size, uint64_t alignment);
  // All bytes up to the end.
  std::span<const std::byte> rest();
  // Throws unless the whole image has been read.
  void expect_end() const;

  const std::string& name() const noexcept { return name_; }
  // The number of entries read so far.
  std::size_t entries() const noexcept { return entries_; }
  // Throws Error(corrupt_image) about the entry that was read last, for checks that only the caller can make.
  [[noreturn]] void fail(std::string_view reason) const;

 private:
  uint32_t word(std::string_view what);
  std::string name_;
  std::string_view bytes_;
  std::size_t at_ = 0;
  std::size_t entries_ = 0;
};

}  // namespace crx
