// A set of images in a directory, as CRIU keeps it.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/fd.hpp"
#include "common/image/image_io.hpp"

namespace crx {

// Collects images in memory and writes them with commit(). Not thread-safe.
class DirectorySink final : public ImageSink {
 public:
  // Creates the directory (mode 0700) where it is missing, not its parents. Throws Error.
  explicit DirectorySink(std::string path);

  // Writes every image under a temporary name, syncs it to the disk and renames it; the inventory comes last,
  // so that a set cut short has none and is not taken for one. An image of the same name is replaced. Throws
  // Error naming the file; temporary files are removed then. Afterwards the sink is empty.
  void commit();

 protected:
  std::string& buffer(std::string_view name) override;

 private:
  void write_one(const std::string& name, std::string_view bytes) const;
  std::string path_;
  Fd directory_;
  std::map<std::string, std::string, std::less<>> files_;
};

// Reads images when they are asked for and keeps them. Not thread-safe, const members included.
class DirectorySource final : public ImageSource {
 public:
  // Throws Error where the directory cannot be opened. An image over `file_limit` bytes is refused.
  explicit DirectorySource(std::string path, std::size_t file_limit = std::size_t{1} << 30);

  // Everything in the directory that has an image's name, pages-*.img too.
  std::vector<std::string> names() const override;
  bool contains(std::string_view name) const override;
  std::string_view load(std::string_view name) const override;

 private:
  std::string path_;
  Fd directory_;
  std::size_t file_limit_;
  mutable std::map<std::string, std::string, std::less<>> files_;
};

}  // namespace crx
