#include "common/base/directory.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <memory>
#include <string_view>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"

namespace crx {
namespace {

std::optional<std::vector<int>> numbers_in(const std::optional<std::vector<std::string>>& names) {
  if (!names) return std::nullopt;
  std::vector<int> numbers;
  for (const std::string& name : *names) {
    int number = -1;
    const char* end = name.data() + name.size();
    if (std::from_chars(name.data(), end, number).ptr == end && number >= 0) numbers.push_back(number);
  }
  return numbers;
}

}  // namespace

std::optional<std::vector<std::string>> list_directory(int directory, const std::string& name) {
  Fd fd = try_open_at(directory, name, O_RDONLY | O_DIRECTORY);
  if (!fd) return std::nullopt;
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd.get()), &::closedir);
  if (!stream) return std::nullopt;
  fd.release();
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string_view found = entry->d_name;
    if (found != "." && found != "..") names.emplace_back(found);
  }
  return names;
}

std::optional<std::vector<std::string>> list_directory(const std::string& path) {
  return list_directory(AT_FDCWD, path);
}

std::optional<std::vector<int>> list_numeric(int directory, const std::string& name) {
  return numbers_in(list_directory(directory, name));
}

void make_directory(const std::string& path, const char* step) {
  if (::mkdir(path.c_str(), 0700) != 0) {
    if (errno != EEXIST) throw_errno(step, path);
    return;
  }
  const std::size_t slash = path.rfind('/');
  sync_directory(slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash), step);
}

void sync_directory(const std::string& path, const char* step) {
  const Fd fd = open_checked(path, O_RDONLY | O_DIRECTORY);
  if (::fsync(fd.get()) != 0) throw_errno(step, path);
}

std::optional<std::vector<int>> list_numeric(const std::string& path) {
  return numbers_in(list_directory(path));
}

}  // namespace crx
