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

// Image name -> its bytes as on disk. What a collector writes, the wire carries and a restorer reads. Holds
// everything but pages. Not thread-safe.
class ImageStore final : public ImageSink, public ImageSource {
 public:
  using Files = std::map<std::string, std::string, std::less<>>;

  // A set over `limit_bytes` is refused by insert(), which is how a peer's images come in.
  explicit ImageStore(std::size_t limit_bytes = std::size_t{1} << 30) : limit_bytes_(limit_bytes) {}

  // Adds a whole image that came from elsewhere. Error(corrupt_image) for a name that is not
  // image_file::valid_name, a name that is there already, or a set that grows over the limit. The content is
  // checked when it is read.
  void insert(std::string name, std::string bytes);
  // Forgets an image; no effect where there is none.
  void erase(std::string_view name);

  const Files& files() const noexcept { return files_; }
  // Gives all images away and is empty afterwards.
  Files take() noexcept { return std::exchange(files_, {}); }
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
