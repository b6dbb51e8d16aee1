#include "common/image/image_store.hpp"

#include "common/base/error.hpp"
#include "common/image/magic.hpp"

namespace crx {

void ImageStore::insert(std::string name, std::string bytes) {
  const auto reject = [&](std::string_view why) {
    throw Error(ErrorCode::corrupt_image, "adding an image", "\"" + name.substr(0, 80) + "\": " + std::string(why));
  };
  if (!image_file::valid_name(name)) reject("not a name of an image");
  if (files_.contains(name)) reject("came twice");
  const std::size_t used = total_bytes();
  if (used > limit_bytes_ || bytes.size() > limit_bytes_ - used) reject("the set is larger than the limit");
  files_.emplace(std::move(name), std::move(bytes));
}

void ImageStore::erase(std::string_view name) {
  const auto it = files_.find(name);
  if (it != files_.end()) files_.erase(it);
}

std::size_t ImageStore::total_bytes() const noexcept {
  std::size_t sum = 0;
  for (const auto& [name, bytes] : files_) sum += name.size() + bytes.size();
  return sum;
}

std::vector<std::string> ImageStore::names() const {
  std::vector<std::string> all;
  all.reserve(files_.size());
  for (const auto& [name, bytes] : files_) all.push_back(name);
  return all;
}

std::string_view ImageStore::load(std::string_view name) const {
  const auto it = files_.find(name);
  if (it == files_.end()) {
    throw Error(ErrorCode::corrupt_image, "reading an image", "it is missing").with_image(std::string(name));
  }
  return it->second;
}

std::string& ImageStore::buffer(std::string_view name) {
  const auto it = files_.find(name);
  if (it != files_.end()) return it->second;
  return files_.emplace(std::string(name), std::string()).first->second;
}

}  // namespace crx
