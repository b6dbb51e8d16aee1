// A file with a name whose content came along (--with-files).
#pragma once

#include <string>

#include "common/base/fd.hpp"

namespace crx {

// Lies beside its name, under one of ours, until it is committed. Directories on the way that are missing are made.
// Destroyed before keep() it is gone, and what had the name has it again.
class CarriedFile {
 public:
  // tag: tells names of ours apart. Throws Error(refused) that names the path.
  CarriedFile(std::string path, const std::string& tag);
  CarriedFile(CarriedFile&& other) noexcept;
  CarriedFile& operator=(CarriedFile&&) = delete;
  ~CarriedFile();

  // For reading and writing, empty.
  Fd take() noexcept { return std::move(file_); }
  const std::string& path() const noexcept { return path_; }
  // Swaps it with what has the name, if there is such a file.
  void commit();
  // For good.
  void keep() noexcept;

 private:
  enum class State { beside, named, exchanged, done };
  std::string path_, beside_;
  Fd file_;
  State state_ = State::beside;
};

}  // namespace crx
