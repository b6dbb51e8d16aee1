#include "agent-dst/files/carried_file.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "common/base/error.hpp"
#include "common/base/log.hpp"

namespace crx {
namespace {

constexpr char kCarriedFileStep[] = "carrying files";

int rename_with(const std::string& from, const std::string& to, unsigned flags) {
  return ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags);
}

}  // namespace

CarriedFile::CarriedFile(std::string path, const std::string& tag) : path_(std::move(path)) {
  const auto slash = path_.rfind('/');
  if (!path_.starts_with('/') || slash + 1 == path_.size()) {
    throw Error(ErrorCode::corrupt_image, kCarriedFileStep, "'" + path_ + "' is not the path of a file");
  }
  const std::string directory = path_.substr(0, slash + 1);
  std::error_code failed;
  std::filesystem::create_directories(directory, failed);
  beside_ = directory + ".crx-" + tag;
  file_ = Fd(::open(beside_.c_str(), O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR | O_CLOEXEC, 0600));
  if (!file_) throw Error(ErrorCode::refused, kCarriedFileStep, path_ + " cannot be created here", errno);
}

CarriedFile::CarriedFile(CarriedFile&& other) noexcept
    : path_(std::move(other.path_)),
      beside_(std::move(other.beside_)),
      file_(std::move(other.file_)),
      state_(std::exchange(other.state_, State::done)) {}

void CarriedFile::commit() {
  if (rename_with(beside_, path_, RENAME_NOREPLACE) == 0) {
    state_ = State::named;
  } else if (errno == EEXIST && rename_with(beside_, path_, RENAME_EXCHANGE) == 0) {
    state_ = State::exchanged;
  } else {
    throw Error(ErrorCode::refused, kCarriedFileStep, path_ + " cannot be renamed to its path here", errno);
  }
}

void CarriedFile::keep() noexcept {
  if (state_ == State::exchanged && ::unlink(beside_.c_str()) != 0)
    log::warn("cannot remove {}, the previous content of {}", beside_, path_);
  state_ = State::done;
}

CarriedFile::~CarriedFile() {
  if (state_ == State::done) return;
  const bool swapped = state_ == State::exchanged && rename_with(beside_, path_, RENAME_EXCHANGE) == 0;
  if (state_ == State::exchanged && !swapped) {
    log::error("cannot restore {}: its previous content is in {}", path_, beside_);
  } else if (::unlink((state_ == State::named ? path_ : beside_).c_str()) != 0 && errno != ENOENT) {
    log::warn("cannot remove {}", beside_);
  }
}

}  // namespace crx
