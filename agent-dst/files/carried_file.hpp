// A file with a name, whose content is sent along with the tree (--with-files).
#pragma once

#include <string>
#include <vector>

#include "agent-dst/files/file_rules.hpp"
#include "common/base/fd.hpp"

namespace crx {

// The directories that are made on the way to a file. The destructor removes them again, those that are empty, unless
// keep() was called.
class MadeDirectories {
 public:
  explicit MadeDirectories(FsIds ids) : ids_(std::move(ids)) {}
  MadeDirectories(MadeDirectories&& other) noexcept;
  MadeDirectories& operator=(MadeDirectories&&) = delete;
  ~MadeDirectories();

  // Opens the directory (O_PATH) that leads to the last component of `path`, which lies below `top`, and makes those
  // that are missing. Follows no symbolic link below `top`. To be called with the task's ids (FsCredentials). Throws
  // Error(refused), which names the path.
  Fd lead_to(const std::string& top, const std::string& path);
  void keep() noexcept { made_.clear(); }

 private:
  struct Made {
    Fd parent;
    std::string name;
  };
  FsIds ids_;
  std::vector<Made> made_;
};

// Until commit() the file lies beside its final path, under a name of crx. Everything is done with the ids of the task
// that has the file: it belongs to them, and where the task could not make it, it is refused. If the object is
// destroyed before keep(), the file and the directories that were made for it are removed, and the file that had the
// path before has it again.
class CarriedFile {
 public:
  // tag: makes the temporary name unique. Throws Error(refused), which names the path.
  CarriedFile(std::string path, const CarryPermit& permit, const std::string& tag);
  CarriedFile(CarriedFile&& other) noexcept;
  CarriedFile& operator=(CarriedFile&&) = delete;
  ~CarriedFile();

  // The new, empty file, open for reading and writing. Can be taken once.
  Fd take() noexcept { return std::move(file_); }
  const std::string& path() const noexcept { return path_; }
  const FsIds& ids() const noexcept { return ids_; }
  // Gives the file its path; a regular file that has the path is exchanged with it. Throws Error(refused).
  void commit();
  // Makes the change permanent: removes the previous file.
  void keep() noexcept;

 private:
  enum class State { beside, named, exchanged, done };
  void undo();
  int rename(const std::string& from, const std::string& to, unsigned flags) const;

  std::string path_, name_, beside_;
  FsIds ids_;
  MadeDirectories made_;
  Fd directory_, file_;
  State state_ = State::beside;
};

}  // namespace crx
