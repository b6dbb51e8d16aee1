// A directory that is removed with everything in it.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

namespace crx::test {

class TempDir {
 public:
  TempDir() {
    char path[] = "/tmp/crx-unit-XXXXXX";
    if (::mkdtemp(path) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = path;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }
  // Writes a file in it, and returns its path.
  std::string file(const std::string& name, const std::string& content) const {
    const std::string path = path_ + "/" + name;
    if (!(std::ofstream(path) << content).flush()) throw std::runtime_error(path);
    return path;
  }

 private:
  std::string path_;
};

}  // namespace crx::test
