#include "common/image/image_directory.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "common/base/error.hpp"
#include "common/base/scope_exit.hpp"
#include "common/image/magic.hpp"

namespace crx {
namespace {

void write_all(int fd, std::string_view bytes, const std::string& name) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("writing an image", name);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace

DirectorySink::DirectorySink(std::string path) : path_(std::move(path)) {
  if (::mkdir(path_.c_str(), 0700) != 0 && errno != EEXIST) throw_errno("creating a directory", path_);
  directory_ = open_checked(path_, O_RDONLY | O_DIRECTORY);
}

std::string& DirectorySink::buffer(std::string_view name) {
  const auto it = files_.find(name);
  if (it != files_.end()) return it->second;
  return files_.emplace(std::string(name), std::string()).first->second;
}

void DirectorySink::write_one(const std::string& name, std::string_view bytes) const {
  const std::string shown = path_ + "/" + name;
  const std::string temporary = "." + name + ".tmp";
  Fd file(::openat(directory_.get(), temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
                   0600));
  if (!file) throw_errno("writing an image", shown);
  ScopeExit remove([&] { ::unlinkat(directory_.get(), temporary.c_str(), 0); });
  write_all(file.get(), bytes, shown);
  if (::fsync(file.get()) != 0) throw_errno("syncing an image", shown);
  if (::renameat(directory_.get(), temporary.c_str(), directory_.get(), name.c_str()) != 0) {
    throw_errno("naming an image", shown);
  }
  remove.release();
}

void DirectorySink::commit() {
  for (const auto& [name, bytes] : files_) {
    if (name != image_file::kInventory) write_one(name, bytes);
  }
  const auto inventory = files_.find(image_file::kInventory);
  if (inventory != files_.end()) write_one(inventory->first, inventory->second);
  if (::fsync(directory_.get()) != 0) throw_errno("syncing a directory", path_);
  files_.clear();
}

DirectorySource::DirectorySource(std::string path, std::size_t file_limit)
    : path_(std::move(path)),
      directory_(open_checked(path_, O_RDONLY | O_DIRECTORY)),
      file_limit_(file_limit) {}

std::vector<std::string> DirectorySource::names() const {
  Fd copy(::openat(directory_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!copy) throw_errno("listing a directory", path_);
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(copy.get()), ::closedir);
  if (!entries) throw_errno("listing a directory", path_);
  copy.release();
  std::vector<std::string> all;
  while (const dirent* entry = ::readdir(entries.get())) {
    if (image_file::valid_name(entry->d_name)) all.emplace_back(entry->d_name);
  }
  std::sort(all.begin(), all.end());
  return all;
}

bool DirectorySource::contains(std::string_view name) const {
  if (files_.contains(name)) return true;
  if (!image_file::valid_name(name)) return false;
  struct stat info {};
  return ::fstatat(directory_.get(), std::string(name).c_str(), &info, 0) == 0 && S_ISREG(info.st_mode);
}

std::string_view DirectorySource::load(std::string_view name) const {
  const auto it = files_.find(name);
  if (it != files_.end()) return it->second;
  const std::string shown = path_ + "/" + std::string(name);
  if (!contains(name)) throw Error(ErrorCode::corrupt_image, "reading an image", shown + " is missing");
  const Fd file(::openat(directory_.get(), std::string(name).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) throw_errno("reading an image", shown);
  return files_.emplace(std::string(name), read_fd(file.get(), shown, file_limit_)).first->second;
}

}  // namespace crx
