// A set of images in a directory, as CRIU keeps it.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/fd.hpp"
#include "common/image/image_io.hpp"
#include "common/image/integrity.hpp"

namespace crx {

// A file of a set that is too large for memory (pages-*.img). Has no name until the set is committed.
class RawImage {
 public:
  RawImage(Fd file, std::string temporary, std::string shown);
  RawImage(RawImage&&) noexcept;
  ~RawImage();
  // At the end of what append() wrote. Not together with write_at().
  void append(std::span<const std::byte> bytes);
  // Anywhere; any thread, any order (but digest_at() of the first chunk before all else), and both for all bytes. Whole
  // chunks (kChunkBytes, at multiples of it; the last may be shorter) get their digests by digest_at(), others cost a
  // second look at the end.
  void digest_at(uint64_t offset, std::span<const std::byte> bytes);
  void write_at(uint64_t offset, std::span<const std::byte> bytes) const;

 private:
  friend class DirectorySink;
  struct Chunks;
  img::crx_digest_entry digest(const std::string& name);
  void grow(uint64_t offset, std::size_t bytes);
  void trim() const;
  Fd file_;
  std::string temporary_;  // its name where the filesystem has no files without one
  std::string shown_;
  uint64_t appended_ = 0;
  std::unique_ptr<Chunks> chunks_;
};

// Collects images in memory and writes them with commit(). Not thread-safe; a RawImage may be written by another
// thread.
class DirectorySink final : public ImageSink {
 public:
  // Creates the directory (mode 0700) where it is missing, and those above it. Throws Error. One that was made here and
  // stays empty is removed again.
  explicit DirectorySink(std::string path);
  ~DirectorySink() override;

  // A whole image that was made elsewhere. Error(corrupt_image) where it is begun already.
  void insert(std::string name, std::string bytes);
  // A new file for pages; it lives as long as the sink.
  RawImage& raw(const std::string& name);
  // What is to be written to `parent`, a symbolic link; empty for none.
  void set_parent(std::string target) { parent_ = std::move(target); }
  // With a manifest, commit() completes it and writes it too.
  void set_manifest(Manifest manifest) { manifest_ = std::make_unique<Manifest>(std::move(manifest)); }

  // The two halves of commit(). prepare: everything is on the disk, without names; a set that was in the directory is
  // still whole. publish: the names; the inventory comes last, so that a set cut short has none and is not taken for
  // one. Images that were in the directory before are gone afterwards; a directory that others read (DirectorySource)
  // or publish in is left as it is. Both throw Error naming the file.
  void prepare();
  void publish();
  void commit();
  // For files that come to others of a set: replaces those of the same names, leaves all else, and makes no manifest.
  void commit_beside();

 protected:
  std::string& buffer(std::string_view name) override;

 private:
  RawImage make_file(const std::string& name) const;
  void give_name(const std::string& name, RawImage& file) const;
  void remove_old() const;
  void lock() const;
  std::string path_;
  bool made_ = false;
  Fd directory_;
  std::string parent_;
  std::unique_ptr<Manifest> manifest_;
  std::map<std::string, std::string, std::less<>> files_;
  std::map<std::string, RawImage, std::less<>> raws_;  // pages, and from prepare() on all files
};

// Reads images when they are asked for and keeps them. Not thread-safe, const members included.
class DirectorySource final : public ImageSource {
 public:
  // Throws Error where the directory cannot be opened. It has a shared flock(2) as long as this lives, where it can:
  // who removes sets takes the exclusive one. An image over `file_limit` bytes is refused.
  explicit DirectorySource(std::string path, std::size_t file_limit = std::size_t{1} << 30);

  // Everything in the directory that has an image's name, pages-*.img too.
  std::vector<std::string> names() const override;
  bool contains(std::string_view name) const override;
  std::string_view load(std::string_view name) const override;

  const std::string& path() const noexcept { return path_; }
  // Of the directory itself.
  int directory() const noexcept { return directory_.get(); }
  // A regular file of the set, for reading; symbolic links are not followed. Throws Error(corrupt_image) where it is
  // missing.
  Fd open_file(std::string_view name, int flags = 0) const;

 private:
  std::string path_;
  Fd directory_;
  std::size_t file_limit_;
  mutable std::map<std::string, std::string, std::less<>> files_;
};

}  // namespace crx
