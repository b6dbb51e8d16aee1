#include "agent-dst/files/carried_file.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/base/error.hpp"
#include "common/base/log.hpp"

namespace crx {
namespace {

constexpr char kCarriedFileStep[] = "carrying files";

Error refusal(const std::string& path, int err) {
  return Error(ErrorCode::refused, kCarriedFileStep, path + " cannot be created here", err);
}

std::vector<std::string> components(const std::string& path, std::size_t from) {
  std::vector<std::string> names;
  while (from < path.size()) {
    const std::size_t slash = std::min(path.find('/', from), path.size());
    if (slash > from) names.push_back(path.substr(from, slash - from));
    from = slash + 1;
  }
  return names;
}

}  // namespace

MadeDirectories::MadeDirectories(MadeDirectories&& other) noexcept
    : ids_(std::move(other.ids_)), made_(std::exchange(other.made_, {})) {}

MadeDirectories::~MadeDirectories() {
  if (made_.empty()) return;
  try {
    const FsCredentials as_task(ids_);
    for (auto made = made_.rbegin(); made != made_.rend(); ++made) {
      if (::unlinkat(made->parent.get(), made->name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
        log::warn("cannot remove the directory {}, which was made for a carried file", made->name);
    }
  } catch (const Error& error) {
    log::warn("removing directories: {}", error.what());
  }
}

Fd MadeDirectories::lead_to(const std::string& top, const std::string& path) {
  std::vector<std::string> names = components(path, top.size());
  Fd at(::open(top.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!at || names.empty()) throw refusal(path, errno);
  names.pop_back();
  for (const std::string& name : names) {
    Fd next = try_find(at.get(), name, O_DIRECTORY);
    if (!next && errno == ENOENT) {
      const bool made = ::mkdirat(at.get(), name.c_str(), 0755) == 0;
      if (!made && errno != EEXIST) throw refusal(path, errno);
      if (made) made_.push_back({duplicate(at.get()), name});
      next = try_find(at.get(), name, O_DIRECTORY);
    }
    if (!next) throw refusal(path, errno);
    at = std::move(next);
  }
  return at;
}

CarriedFile::CarriedFile(std::string path, const CarryPermit& permit, const std::string& tag)
    : path_(std::move(path)), beside_(".crx-" + tag), ids_(permit.ids), made_(permit.ids) {
  name_ = path_.substr(path_.rfind('/') + 1);
  const FsCredentials as_task(ids_);
  directory_ = made_.lead_to(permit.directory, path_);
  file_ = Fd(::openat(directory_.get(), beside_.c_str(), O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR | O_CLOEXEC, 0600));
  if (!file_) throw refusal(path_, errno);
}

CarriedFile::CarriedFile(CarriedFile&& other) noexcept
    : path_(std::move(other.path_)),
      name_(std::move(other.name_)),
      beside_(std::move(other.beside_)),
      ids_(std::move(other.ids_)),
      made_(std::move(other.made_)),
      directory_(std::move(other.directory_)),
      file_(std::move(other.file_)),
      state_(std::exchange(other.state_, State::done)) {}

int CarriedFile::rename(const std::string& from, const std::string& to, unsigned flags) const {
  return ::renameat2(directory_.get(), from.c_str(), directory_.get(), to.c_str(), flags);
}

void CarriedFile::commit() {
  const FsCredentials as_task(ids_);
  if (rename(beside_, name_, RENAME_NOREPLACE) == 0) {
    state_ = State::named;
    return;
  }
  struct stat st {};
  const bool regular = errno == EEXIST && ::fstatat(directory_.get(), name_.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                       S_ISREG(st.st_mode);
  if (!regular || rename(beside_, name_, RENAME_EXCHANGE) != 0)
    throw Error(ErrorCode::refused, kCarriedFileStep, path_ + " cannot be renamed to its path here", errno);
  state_ = State::exchanged;
}

void CarriedFile::keep() noexcept {
  made_.keep();
  try {
    const FsCredentials as_task(ids_);
    if (state_ == State::exchanged && ::unlinkat(directory_.get(), beside_.c_str(), 0) != 0)
      log::warn("cannot remove {}, the previous content of {}", beside_, path_);
  } catch (const Error& error) {
    log::warn("{}: {}", path_, error.what());
  }
  state_ = State::done;
}

void CarriedFile::undo() {
  const FsCredentials as_task(ids_);
  if (state_ == State::exchanged && rename(beside_, name_, RENAME_EXCHANGE) != 0) {
    log::error("cannot restore {}: its previous content is in {} beside it", path_, beside_);
    return;
  }
  const std::string& name = state_ == State::named ? name_ : beside_;
  if (::unlinkat(directory_.get(), name.c_str(), 0) != 0 && errno != ENOENT)
    log::warn("cannot remove {} beside {}", name, path_);
}

CarriedFile::~CarriedFile() {
  if (state_ == State::done) return;
  try {
    undo();
  } catch (const Error& error) {
    log::error("{}: {}", path_, error.what());
  }
}

}  // namespace crx
