// A set of images in a directory, in CRIU's layout.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/fd.hpp"
#include "common/image/image_io.hpp"
#include "common/image/integrity.hpp"

namespace crx {

// A file of a set that is too large for memory (pages-*.img). It has no name until the set is committed.
class RawImage {
 public:
  // Made by DirectorySink. file: open for reading and writing. temporary: its name if it has one. shown: the name for
  // messages.
  RawImage(Fd file, std::string temporary, std::string shown);
  RawImage(RawImage&&) noexcept;
  ~RawImage();
  // Appends at the end of what append() has written so far. Not to be combined with write_at().
  void append(std::span<const std::byte> bytes);
  // write_at() writes at any offset; digest_at() computes the digest of the same bytes. Both are called for all bytes,
  // from any thread and in any order (except that digest_at() of the first chunk comes before everything else). Calls
  // with whole chunks (kChunkBytes, at multiples of it; the last chunk may be shorter) give their digests at once; any
  // others make commit() read the file again.
  void digest_at(uint64_t offset, std::span<const std::byte> bytes);
  void write_at(uint64_t offset, std::span<const std::byte> bytes) const;

 private:
  friend class DirectorySink;
  struct Chunks;
  // secure: with SHA-256; to be said before the first write.
  void use_digests(Digests digests);
  img::crx_digest_entry digest(const std::string& name);
  void grow(uint64_t offset, std::size_t bytes);
  void trim() const;
  Fd file_;
  std::string temporary_;  // its temporary name, on filesystems without nameless files (O_TMPFILE)
  std::string shown_;
  uint64_t appended_ = 0;
  std::unique_ptr<Chunks> chunks_;
};

// Collects images in memory and writes them in commit(). Not thread-safe; a RawImage may be written by another thread.
class DirectorySink final : public ImageSink {
 public:
  // Creates the directory (mode 0700) and the directories above it if they are missing. Throws Error. A directory that
  // was created here and remains empty is removed again.
  explicit DirectorySink(std::string path);
  ~DirectorySink() override;

  // Adds a whole image that was made elsewhere. Error(corrupt_image) if that image exists already.
  void insert(std::string name, std::string bytes);
  // Creates a new file for pages; the reference is valid as long as the sink lives.
  RawImage& raw(const std::string& name);
  // Sets the target of the symbolic link `parent`; empty for none.
  void set_parent(std::string target) { parent_ = std::move(target); }
  // If there is a manifest, commit() completes it and writes it, too.
  void set_manifest(Manifest manifest) { manifest_ = std::make_unique<Manifest>(std::move(manifest)); }

  // Signs the set: called by commit() with the complete manifest, whose files then have SHA-256 as well; returns the
  // bytes of crx-integrity.img (the manifest's) and of crx-signature.img. To be set before the first image.
  struct Sealed {
    std::string manifest, signature;
  };
  using Seal = std::function<Sealed(const Manifest&)>;
  void set_seal(Seal seal) { seal_ = std::move(seal); }

  // The two halves of commit(). prepare(): everything is on the disk, without names; an older set in the directory is
  // still complete. publish(): gives the files their names; the inventory comes last, so that an interrupted set has
  // none and is not mistaken for a set. Images that were in the directory before are removed. If another process reads
  // the directory (DirectorySource) or publishes in it, it is left unchanged. Both throw Error naming the file.
  void prepare();
  void publish();
  void commit();
  // For files that are added to an existing set: replaces those of the same names, leaves all others, and writes no
  // manifest.
  void commit_beside();

 protected:
  std::string& buffer(std::string_view name) override;

 private:
  RawImage make_file(const std::string& name) const;
  void finish_manifest();
  void give_name(const std::string& name, RawImage& file) const;
  void remove_old() const;
  void lock() const;
  std::string path_;
  bool made_ = false;
  Fd directory_;
  std::string parent_;
  std::unique_ptr<Manifest> manifest_;
  Seal seal_;
  std::map<std::string, std::string, std::less<>> files_;
  std::map<std::string, RawImage, std::less<>> raws_;  // page files, and from prepare() on all files
};

// Reads images on request and keeps them in memory. Not thread-safe, const members included.
class DirectorySource final : public ImageSource {
 public:
  // Throws Error if the directory cannot be opened. Holds a shared flock(2) on it, where the filesystem has locks, as
  // long as this object lives; removing a set takes the exclusive lock. An image larger than `file_limit` bytes is
  // refused.
  explicit DirectorySource(std::string path, std::size_t file_limit = std::size_t{1} << 30);

  // From now on the set has these files only (sorted), whatever is in the directory: files that come later are not
  // seen.
  void keep_to(std::vector<std::string> names) { known_ = std::move(names); }
  // All files in the directory that have the name of an image, including pages-*.img.
  std::vector<std::string> names() const override;
  bool contains(std::string_view name) const override;
  std::string_view load(std::string_view name) const override;

  const std::string& path() const noexcept { return path_; }
  // The descriptor of the directory itself.
  int directory() const noexcept { return directory_.get(); }
  // Opens a regular file of the set for reading; symbolic links are not followed. Throws Error(corrupt_image) if it is
  // missing.
  Fd open_file(std::string_view name, int flags = 0) const;

 private:
  std::string path_;
  Fd directory_;
  std::size_t file_limit_;
  std::optional<std::vector<std::string>> known_;
  mutable std::map<std::string, std::string, std::less<>> files_;
};

}  // namespace crx
