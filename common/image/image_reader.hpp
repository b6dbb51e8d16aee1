// Reads one image: entries, and the raw data that some of them are followed by.
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

// An entry over this is taken for damage (the largest real ones, mm images with 65,530 mappings, have 8 MB).
inline constexpr std::size_t kMaxEntryBytes = std::size_t{64} << 20;

// A cursor over the bytes of one image, which must outlive it. Everything throws Error(corrupt_image) that
// names the image and the number of the entry (from 1); after a throw the cursor is not to be used.
class ImageReader {
 public:
  // Checks the magics that `name` calls for (image_file::magic_of); a name without one is Error(bug).
  ImageReader(std::string name, std::string_view bytes);

  bool at_end() const noexcept { return at_ == bytes_.size(); }
  // Reads the next entry into `message`; false at the end of the image, with `message` cleared.
  bool next(google::protobuf::MessageLite& message);
  // The next entry, which must be there.
  template <typename T>
  T expect() {
    T message;
    if (!next(message)) fail("an entry is missing");
    return message;
  }
  // The next `size` bytes, as they follow an entry. Points into the image.
  std::span<const std::byte> raw(uint64_t size);
  // Raw data followed by padding up to a multiple of `alignment`, as IPC images have it.
  std::span<const std::byte> raw_padded(uint64_t size, uint64_t alignment);
  // Everything up to the end.
  std::span<const std::byte> rest();
  // Throws unless the whole image was read.
  void expect_end() const;

  const std::string& name() const noexcept { return name_; }
  // Number of entries read so far.
  std::size_t entries() const noexcept { return entries_; }
  // Throws Error(corrupt_image) about the entry read last; for what only the caller can check.
  [[noreturn]] void fail(std::string_view reason) const;

 private:
  uint32_t word(std::string_view what);
  std::string name_;
  std::string_view bytes_;
  std::size_t at_ = 0;
  std::size_t entries_ = 0;
};

}  // namespace crx
