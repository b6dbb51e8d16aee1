#include "common/image/image_directory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>

#include "common/base/directory.hpp"
#include "common/base/error.hpp"
#include "common/base/scope_exit.hpp"
#include "common/image/disk_error.hpp"
#include "common/image/magic.hpp"
#include "common/image/tmpfs_pages.hpp"

namespace crx {
namespace {

constexpr char kParent[] = "parent";
constexpr uint64_t kGrow = 32 << 20;

std::vector<std::string> list_images(int directory, const std::string& path) {
  std::optional<std::vector<std::string>> all = list_directory(directory);
  if (!all) throw_errno("listing a directory", path);
  std::erase_if(*all, [](const std::string& name) { return !image_file::valid_name(name); });
  std::sort(all->begin(), all->end());
  return std::move(*all);
}

}  // namespace

struct RawImage::Chunks {
  std::mutex mutex, writing;
  std::map<uint64_t, Digest128> digests;  // by chunk number
  bool secure = false;
  std::map<uint64_t, std::string> sha256;  // the same
  uint64_t size = 0;
  bool regular = true;
  std::optional<TmpfsPages> second_way;  // set before the second chunk is announced
  uint64_t grown = 0;                    // the length to which the file has been extended
};

RawImage::RawImage(Fd file, std::string temporary, std::string shown)
    : file_(std::move(file)),
      temporary_(std::move(temporary)),
      shown_(std::move(shown)),
      chunks_(std::make_unique<Chunks>()) {}
RawImage::RawImage(RawImage&&) noexcept = default;
RawImage::~RawImage() = default;

void RawImage::append(std::span<const std::byte> bytes) {
  digest_at(appended_, bytes);
  write_at(appended_, bytes);
  appended_ += bytes.size();
}

void RawImage::digest_at(uint64_t offset, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  const bool whole = offset % kChunkBytes == 0 && bytes.size() <= kChunkBytes;
  const Digest128 digest = whole ? digest128(bytes) : Digest128();
  const uint64_t end = offset + bytes.size();
  const std::lock_guard lock(chunks_->mutex);
  // A short chunk must be the last one; otherwise the file has to be read again.
  chunks_->regular = chunks_->regular && whole && chunks_->digests.try_emplace(offset / kChunkBytes, digest).second;
  chunks_->size = std::max(chunks_->size, end);
  grow(offset, bytes.size());
  if (bytes.size() < kChunkBytes && chunks_->size > end) chunks_->regular = false;
}

// When there is a second way to write, the file is extended ahead of the writers, in large steps, since each extension
// waits for the current writer.
void RawImage::grow(uint64_t offset, std::size_t bytes) {
  if (offset == 0 && bytes >= kChunkBytes) chunks_->second_way = TmpfsPages::of(file_.get());
  if (!chunks_->second_way || offset + bytes <= chunks_->grown) return;
  chunks_->grown = offset + bytes + kGrow;
  static_cast<void>(::ftruncate(file_.get(), static_cast<off_t>(chunks_->grown)));
}

void RawImage::use_digests(Digests digests) {
  chunks_->secure = digests == Digests::secure;
}

void RawImage::write_at(uint64_t offset, std::span<const std::byte> bytes) const {
  if (chunks_->secure && offset % kChunkBytes == 0 && bytes.size() <= kChunkBytes) {
    std::string digest = sha256(bytes);
    const std::lock_guard lock(chunks_->mutex);
    chunks_->sha256.insert_or_assign(offset / kChunkBytes, std::move(digest));
  }
  // The kernel admits one writer per file and lets the others wait actively.
  std::unique_lock lock(chunks_->writing, std::try_to_lock);
  if (!lock) {
    if (chunks_->second_way && chunks_->second_way->fill(offset, bytes)) return;
    lock.lock();
  }
  for (uint64_t at = offset; !bytes.empty();) {
    const ssize_t n = ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw_writing("writing an image", shown_, n < 0 ? errno : ENOSPC);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    at += static_cast<uint64_t>(n);
  }
}

void RawImage::trim() const {
  if (!chunks_->second_way) return;
  if (::ftruncate(file_.get(), static_cast<off_t>(chunks_->size)) != 0) throw_writing("writing an image", shown_);
}

img::crx_digest_entry RawImage::digest(const std::string& name) {
  const uint64_t count = (chunks_->size + kChunkBytes - 1) / kChunkBytes;
  if (chunks_->regular && chunks_->digests.size() == count && (!chunks_->secure || chunks_->sha256.size() == count)) {
    std::string digests, secure;
    for (const auto& [number, each] : chunks_->digests) digests += each.view();
    for (const auto& [number, each] : chunks_->sha256) secure += each;
    return pages_entry(name, chunks_->size, std::move(digests), std::move(secure));
  }
  FileDigester digester(true, chunks_->secure ? Digests::secure : Digests::fast);
  std::vector<std::byte> chunk(kChunkBytes);
  for (uint64_t at = 0; at < chunks_->size;) {
    const ssize_t n = ::pread(file_.get(), chunk.data(), std::min<uint64_t>(chunk.size(), chunks_->size - at),
                              static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw_writing("writing an image", shown_, n < 0 ? errno : EIO);
    digester.add(std::span(chunk).first(static_cast<std::size_t>(n)));
    at += static_cast<uint64_t>(n);
  }
  return digester.finish(name);
}

DirectorySink::DirectorySink(std::string path) : path_(std::move(path)) {
  std::error_code unmade;  // the mkdir(2) below reports the reason
  std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), unmade);
  made_ = ::mkdir(path_.c_str(), 0700) == 0;
  if (!made_ && errno != EEXIST) throw_writing("creating a directory", path_);
  directory_ = try_open(path_, O_RDONLY | O_DIRECTORY);
  if (!directory_) throw_writing("opening the directory for the images", path_);
}

DirectorySink::~DirectorySink() {
  for (const auto& [name, file] : raws_) {
    if (!file.temporary_.empty()) ::unlinkat(directory_.get(), file.temporary_.c_str(), 0);
  }
  if (made_) ::rmdir(path_.c_str());  // fails, as intended, if the directory is not empty
}

std::string& DirectorySink::buffer(std::string_view name) {
  const auto it = files_.find(name);
  if (it != files_.end()) return it->second;
  return files_.emplace(std::string(name), std::string()).first->second;
}

void DirectorySink::insert(std::string name, std::string bytes) {
  const auto [it, is_new] = files_.try_emplace(std::move(name), std::move(bytes));
  if (!is_new) throw Error(ErrorCode::corrupt_image, "writing an image", path_ + "/" + it->first + " came twice");
}

RawImage DirectorySink::make_file(const std::string& name) const {
  const std::string shown = path_ + "/" + name;
  Fd file(::openat(directory_.get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  std::string temporary;
  if (!file && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
    temporary = "." + name + ".tmp";
    file.reset(
        ::openat(directory_.get(), temporary.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  }
  if (!file) throw_writing("writing an image", shown);
  RawImage made(std::move(file), std::move(temporary), shown);
  made.use_digests(seal_ ? Digests::secure : Digests::fast);
  return made;
}

RawImage& DirectorySink::raw(const std::string& name) {
  const auto [it, is_new] = raws_.emplace(name, make_file(name));
  if (!is_new) throw Error(ErrorCode::bug, "writing an image", name + " is begun twice");
  return it->second;
}

void DirectorySink::finish_manifest() {
  for (const auto& [name, bytes] : files_)
    manifest_->add(digest_of(name, bytes, seal_ ? Digests::secure : Digests::fast));
  for (auto& [name, file] : raws_) {
    if (!files_.contains(name)) manifest_->add(file.digest(name));
  }
  const Sealed sealed = seal_ ? seal_(*manifest_) : Sealed{manifest_->bytes(), {}};
  raw(std::string(image_file::kCrxIntegrity)).append(std::as_bytes(std::span(sealed.manifest)));
  if (seal_) raw(std::string(image_file::kCrxSignature)).append(std::as_bytes(std::span(sealed.signature)));
}

void DirectorySink::prepare() {
  for (auto& [name, bytes] : files_) raw(name).append(std::as_bytes(std::span(bytes)));
  if (manifest_) finish_manifest();
  files_.clear();
  for (const auto& [name, file] : raws_) {
    file.trim();
    if (::fsync(file.file_.get()) != 0) throw_writing("syncing an image", file.shown_);
  }
}

// The old inventory is removed first: from then on the rest of the old set is not a set any more.
void DirectorySink::remove_old() const {
  const auto remove = [&](const char* name) {
    if (::unlinkat(directory_.get(), name, 0) != 0 && errno != ENOENT)
      throw_writing("removing an older image", path_ + "/" + name);
  };
  const std::vector<std::string> old = list_images(directory_.get(), path_);
  if (old.empty()) return remove(kParent);
  remove(image_file::kInventory.data());
  if (::fsync(directory_.get()) != 0) throw_writing("syncing a directory", path_);
  for (const std::string& name : old) remove(name.c_str());
  remove(kParent);
}

void DirectorySink::give_name(const std::string& name, RawImage& file) const {
  int result = 0;
  if (file.temporary_.empty()) {
    const std::string link = fmt::format("/proc/self/fd/{}", file.file_.get());
    result = ::linkat(AT_FDCWD, link.c_str(), directory_.get(), name.c_str(), AT_SYMLINK_FOLLOW);
  } else {
    result = ::renameat(directory_.get(), file.temporary_.c_str(), directory_.get(), name.c_str());
    if (result == 0) file.temporary_.clear();
  }
  if (result != 0) throw_writing("naming an image", file.shown_);
}

// Locks the directory against readers and other writers.
void DirectorySink::lock() const {
  if (::flock(directory_.get(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
    return;  // some filesystems have no locks
  throw Error(ErrorCode::kernel, "writing an image set", path_ + " is being read, or written by another")
      .with_hint("choose another directory, or try again later");
}

void DirectorySink::publish() {
  lock();
  const ScopeExit unlock([this] { ::flock(directory_.get(), LOCK_UN); });
  remove_old();
  if (!parent_.empty() && ::symlinkat(parent_.c_str(), directory_.get(), kParent) != 0) {
    throw_writing("linking to the parent set", path_ + "/" + kParent);
  }
  for (auto& [name, file] : raws_) {
    if (name != image_file::kInventory) give_name(name, file);
  }
  if (::fsync(directory_.get()) != 0) throw_writing("syncing a directory", path_);
  const auto inventory = raws_.find(image_file::kInventory);
  if (inventory != raws_.end()) give_name(inventory->first, inventory->second);
  if (::fsync(directory_.get()) != 0) throw_writing("syncing a directory", path_);
  raws_.clear();
  made_ = false;
}

void DirectorySink::commit_beside() {
  prepare();
  for (auto& [name, file] : raws_) {
    if (::unlinkat(directory_.get(), name.c_str(), 0) != 0 && errno != ENOENT)
      throw_writing("removing an older image", file.shown_);
    give_name(name, file);
  }
  if (::fsync(directory_.get()) != 0) throw_writing("syncing a directory", path_);
  raws_.clear();
}

void DirectorySink::commit() {
  prepare();
  publish();
}

DirectorySource::DirectorySource(std::string path, std::size_t file_limit)
    : path_(std::move(path)), directory_(try_open(path_, O_RDONLY | O_DIRECTORY)), file_limit_(file_limit) {
  if (!directory_) throw_no_set(path_);
  static_cast<void>(::flock(directory_.get(), LOCK_SH | LOCK_NB));
}

std::vector<std::string> DirectorySource::names() const {
  return known_ ? *known_ : list_images(directory_.get(), path_);
}

bool DirectorySource::contains(std::string_view name) const {
  if (files_.contains(name)) return true;
  if (!image_file::valid_name(name)) return false;
  if (known_) return std::binary_search(known_->begin(), known_->end(), name);
  struct stat info {};
  return ::fstatat(directory_.get(), std::string(name).c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISREG(info.st_mode);
}

Fd DirectorySource::open_file(std::string_view name, int flags) const {
  const std::string shown = path_ + "/" + std::string(name);
  if (!contains(name)) throw Error(ErrorCode::corrupt_image, "reading an image", "it is missing").with_image(shown);
  Fd file(::openat(directory_.get(), std::string(name).c_str(), flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) != 0) throw_errno("reading an image", shown);
  if (!S_ISREG(info.st_mode))
    throw Error(ErrorCode::corrupt_image, "reading an image", "it is not a regular file").with_image(shown);
  return file;
}

std::string_view DirectorySource::load(std::string_view name) const {
  const auto it = files_.find(name);
  if (it != files_.end()) return it->second;
  const Fd file = open_file(name);
  return files_.emplace(std::string(name), read_fd(file.get(), path_ + "/" + std::string(name), file_limit_))
      .first->second;
}

}  // namespace crx
