// A file with a name, whose content is sent along with the tree (--with-files).
#pragma once

#include <string>

#include "common/base/fd.hpp"

namespace crx {

// Until commit() the file lies beside its final path, under a name of crx. Missing directories on the path are created.
// If it is destroyed before keep(), the file is removed, and the file that had the path before has it again.
class CarriedFile {
 public:
  // tag: makes the temporary name unique. Throws Error(refused), which names the path.
  CarriedFile(std::string path, const std::string& tag);
  CarriedFile(CarriedFile&& other) noexcept;
  CarriedFile& operator=(CarriedFile&&) = delete;
  ~CarriedFile();

  // The new, empty file, open for reading and writing. Can be taken once.
  Fd take() noexcept { return std::move(file_); }
  const std::string& path() const noexcept { return path_; }
  // Gives the file its path; a file that has the path is exchanged with it. Throws Error(refused).
  void commit();
  // Makes the change permanent: removes the previous file.
  void keep() noexcept;

 private:
  enum class State { beside, named, exchanged, done };
  std::string path_, beside_;
  Fd file_;
  State state_ = State::beside;
};

}  // namespace crx
