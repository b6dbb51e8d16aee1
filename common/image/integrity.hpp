// Detects damage to a set of images: digests of every file, the set's own id, and the id of its parent.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/digest.hpp"
#include "common/image/image_io.hpp"
#include "common/image/schema/manifest.pb.h"

namespace crx {

inline constexpr uint64_t kChunkBytes = uint64_t{1} << 20;
inline constexpr uint32_t kManifestVersion = 1;

// XXH3 detects damage. SHA-256 is computed besides in sets that are signed, since a signature vouches for nothing more
// than the digests that it covers.
enum class Digests { fast, secure };

inline constexpr std::size_t kSha256Bytes = 32;
// SHA-256 (FIPS 180-4) of the bytes, as 32 bytes. Throws Error(bug) if libcrypto lacks it.
std::string sha256(std::span<const std::byte> bytes);

// Computes the digests of one file while it is written from start to end.
class FileDigester {
 public:
  // pages: the file holds pages, so it gets a digest per chunk. digests: secure is for such files only.
  explicit FileDigester(bool pages, Digests digests = Digests::fast)
      : pages_(pages), secure_(digests == Digests::secure) {}
  void add(std::span<const std::byte> bytes);
  uint64_t size() const noexcept { return size_; }
  // Completes the entry. Called once, after the last add(). name: the name of the file.
  img::crx_digest_entry finish(std::string name);

 private:
  bool pages_;
  bool secure_;
  uint64_t size_ = 0;
  Digester whole_, chunk_;
  uint64_t in_chunk_ = 0;
  std::string chunks_;
  std::vector<std::byte> kept_;  // secure: the begun chunk
  std::string sha256_;
};

// Whether a file of this name holds pages.
bool holds_pages(std::string_view name);
// The entry of a page file whose chunks have the digests `chunks` (16 bytes each) and, in a signed set, `sha256` (32
// bytes each).
img::crx_digest_entry pages_entry(std::string name, uint64_t size, std::string chunks, std::string sha256 = {});
// The entry of a whole file in memory.
img::crx_digest_entry digest_of(std::string name, std::string_view bytes, Digests digests = Digests::fast);

// The content of crx-integrity.img. A value type; const members may be used by several threads.
class Manifest {
 public:
  // A new manifest: random set_id, this host, the current time.
  static Manifest begin(img::crx_manifest_entry::Kind kind);
  // Parses a manifest. `shown`: its path, for messages. Throws Error(corrupt_image) if it is damaged.
  static Manifest read(std::string_view bytes, const std::string& shown);
  // Serialises the whole image.
  std::string bytes() const;

  img::crx_manifest_entry& head() noexcept { return head_; }
  const img::crx_manifest_entry& head() const noexcept { return head_; }
  // The set_id as 32 hex digits.
  std::string id_text() const;
  void add(img::crx_digest_entry entry);
  const img::crx_digest_entry* find(std::string_view name) const;
  const std::map<std::string, img::crx_digest_entry, std::less<>>& files() const noexcept { return files_; }

 private:
  img::crx_manifest_entry head_;
  std::map<std::string, img::crx_digest_entry, std::less<>> files_;
};

// Whether `bytes` (the chunk of the file at index * kChunkBytes) have the digest of the entry; for a page file with
// SHA-256, that one as well.
bool chunk_matches(const img::crx_digest_entry& entry, std::size_t index, std::span<const std::byte> bytes);
// The offset of the first MiB of `bytes` that differs from the entry; bytes.size() when all chunks match but the
// lengths differ.
uint64_t first_difference(const img::crx_digest_entry& entry, std::string_view bytes);
// Whether `bytes`, the whole content of a file that holds no pages, have the entry's SHA-256; true if it has none.
bool sha256_matches(const img::crx_digest_entry& entry, std::string_view bytes);

}  // namespace crx
