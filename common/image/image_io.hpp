// Where images go to and come from: memory, a directory, a stream. Collectors know an ImageSink, restorers an
// ImageSource, and neither knows more.
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

// Takes images. The first append to a name writes the image's magics (by its name, image_file::magic_of).
// Not thread-safe.
class ImageSink {
 public:
  virtual ~ImageSink() = default;

  // Begins an image that may stay without entries. No effect where it is begun already.
  void create(std::string_view name);
  // Appends one entry (length and message). Error(bug) when a required field is unset.
  void append(std::string_view name, const google::protobuf::MessageLite& message);
  // Appends bytes as they are: the data that follows an entry.
  void append_raw(std::string_view name, std::span<const std::byte> bytes);
  // Data, then zeros up to a multiple of `alignment`.
  void append_padded(std::string_view name, std::span<const std::byte> bytes, std::size_t alignment);

 protected:
  // The buffer that appends to `name` go to; empty when the name is new.
  virtual std::string& buffer(std::string_view name) = 0;

 private:
  std::string& begun(std::string_view name);
};

// Gives images. What is returned by load() stays valid and unchanged as long as the source lives.
class ImageSource {
 public:
  virtual ~ImageSource() = default;

  // All names, sorted.
  virtual std::vector<std::string> names() const = 0;
  virtual bool contains(std::string_view name) const = 0;
  // The whole image; Error(corrupt_image) naming it where there is none.
  virtual std::string_view load(std::string_view name) const = 0;

  ImageReader reader(std::string_view name) const { return ImageReader(std::string(name), load(name)); }
  // The image's only entry; more or fewer are Error(corrupt_image).
  template <typename T>
  T read_one(std::string_view name) const {
    ImageReader image = reader(name);
    T message = image.expect<T>();
    image.expect_end();
    return message;
  }
  // The same for an image that may be absent.
  template <typename T>
  std::optional<T> try_read_one(std::string_view name) const {
    if (!contains(name)) return std::nullopt;
    return read_one<T>(name);
  }
  // All entries of an image without raw data between them; an absent image has none.
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
