// The interfaces through which images are written and read; behind them is memory, a directory or a stream. Collectors
// know only ImageSink, restorers only ImageSource.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/image/image_reader.hpp"

namespace crx {

// Receives images. The first append to a name writes the image's magic numbers (by its name, image_file::magic_of). Not
// thread-safe.
class ImageSink {
 public:
  virtual ~ImageSink() = default;

  // Begins an image that may remain without entries. No effect if it has been begun already.
  void create(std::string_view name);
  // Appends one entry (length and message). Throws Error(bug) when a required field is not set.
  void append(std::string_view name, const google::protobuf::MessageLite& message);
  // Appends plain bytes: the data that follows an entry.
  void append_raw(std::string_view name, std::span<const std::byte> bytes);
  // Appends plain bytes, then zeros up to a multiple of `alignment`.
  void append_padded(std::string_view name, std::span<const std::byte> bytes, std::size_t alignment);

 protected:
  // The buffer to which appends for `name` go; empty for a new name.
  virtual std::string& buffer(std::string_view name) = 0;

 private:
  std::string& begun(std::string_view name);
};

// Provides images. The bytes that load() returns stay valid and unchanged as long as the source lives.
class ImageSource {
 public:
  virtual ~ImageSource() = default;

  // All image names, sorted.
  virtual std::vector<std::string> names() const = 0;
  virtual bool contains(std::string_view name) const = 0;
  // The whole image; Error(corrupt_image) naming it if there is none.
  virtual std::string_view load(std::string_view name) const = 0;

  ImageReader reader(std::string_view name) const { return ImageReader(std::string(name), load(name)); }
  // Reads the only entry of an image; more or fewer entries are Error(corrupt_image).
  template <typename T>
  T read_one(std::string_view name) const {
    ImageReader image = reader(name);
    T message = image.expect<T>();
    image.expect_end();
    return message;
  }
  // The same for an image that may be absent: nullopt.
  template <typename T>
  std::optional<T> try_read_one(std::string_view name) const {
    if (!contains(name)) return std::nullopt;
    return read_one<T>(name);
  }
  // Reads all entries of an image that has no raw data between them; empty for an absent image.
  template <typename T>
  std::vector<T> read_all(std::string_view name) const {
    std::vector<T> messages;
    if (!contains(name)) return messages;
    ImageReader image = reader(name);
    for (T message; image.next(message);) messages.push_back(message);
    return messages;
  }
};

}  // namespace crx
