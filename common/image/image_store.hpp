// A set of images in memory.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/image/image_io.hpp"

namespace crx {

// Maps image names to their bytes as on disk. A collector writes it, the wire carries it and a restorer reads it. It
// holds all images except the page files. Not thread-safe.
class ImageStore final : public ImageSink, public ImageSource {
 public:
  using Files = std::map<std::string, std::string, std::less<>>;

  // insert(), by which a peer's images arrive, refuses to let the set grow over `limit_bytes`.
  explicit ImageStore(std::size_t limit_bytes = std::size_t{1} << 30) : limit_bytes_(limit_bytes) {}

  // Adds a whole image that was made elsewhere. Throws Error(corrupt_image) for a name that is not
  // image_file::valid_name, for a name that exists already, and for a set that would exceed the limit. The content is
  // checked when it is read.
  void insert(std::string name, std::string bytes);
  // Removes an image; no effect if there is none.
  void erase(std::string_view name);

  const Files& files() const noexcept { return files_; }
  // Moves all images out; the store is empty afterwards.
  Files take() noexcept { return std::exchange(files_, {}); }
  // The size of all images in bytes.
  std::size_t total_bytes() const noexcept;

  std::vector<std::string> names() const override;
  bool contains(std::string_view name) const override { return files_.contains(name); }
  std::string_view load(std::string_view name) const override;

 protected:
  std::string& buffer(std::string_view name) override;

 private:
  std::size_t limit_bytes_;
  Files files_;
};

}  // namespace crx
