#include "common/image/dedup/dedup.hpp"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>
#include <vector>

#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/image/page_images.hpp"

namespace crx {
namespace {

constexpr char kDedupStep[] = "freeing replaced pages";

// Byte extents in the form of PageRange, so that the set operations on ranges apply.
using Extents = std::vector<PageRange>;

Extents punched_of(const img::crx_digest_entry& entry) {
  Extents all;
  for (const img::crx_extent& extent : entry.punched()) {
    all = unite(all, {{extent.offset(), extent.offset() + extent.bytes()}});
  }
  return all;
}

// The digests of the file when `extents` read as zeros.
img::crx_digest_entry digest_without(int fd, const std::string& name, uint64_t size, const Extents& extents) {
  FileDigester digester(true);
  std::vector<std::byte> chunk;
  for (uint64_t start = 0; start < size; start += kChunkBytes) {
    chunk.resize(std::min(kChunkBytes, size - start));
    for (std::size_t done = 0; done < chunk.size();) {
      const ssize_t n = ::pread(fd, chunk.data() + done, chunk.size() - done, static_cast<off_t>(start + done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) throw_errno(kDedupStep, name, n < 0 ? errno : EIO);
      done += static_cast<std::size_t>(n);
    }
    for (const PageRange& part : intersect(extents, {{start, start + chunk.size()}})) {
      std::fill_n(chunk.begin() + static_cast<std::ptrdiff_t>(part.start - start), part.bytes(), std::byte{});
    }
    digester.add(chunk);
  }
  img::crx_digest_entry entry = digester.finish(name);
  for (const PageRange& extent : extents) {
    img::crx_extent& out = *entry.add_punched();
    out.set_offset(extent.start);
    out.set_bytes(extent.bytes());
  }
  return entry;
}

void replace_manifest(const DirectorySource& level, const Manifest& manifest) {
  const std::string shown = level.path() + "/" + std::string(image_file::kCrxIntegrity);
  constexpr char kTemporary[] = ".crx-integrity.img.tmp";
  const std::string bytes = manifest.bytes();
  const Fd file(::openat(level.directory(), kTemporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file || ::write(file.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()) ||
      ::fsync(file.get()) != 0 ||
      ::renameat(level.directory(), kTemporary, level.directory(), image_file::kCrxIntegrity.data()) != 0 ||
      ::fsync(level.directory()) != 0) {
    throw_errno(kDedupStep, shown);
  }
}

// Freeing pages changes the manifest, which the signature vouches for.
void refuse_signed(const DirectorySource& level) {
  if (!level.contains(image_file::kCrxSignature)) return;
  throw Error(ErrorCode::refused, kDedupStep, level.path() + " is signed, and freeing pages would void its signature")
      .with_hint("keep it whole, or remove its crx-signature.img first");
}

uint64_t allocated(int fd) {
  struct stat st {};
  return ::fstat(fd, &st) == 0 ? static_cast<uint64_t>(st.st_blocks) * 512 : 0;
}

}  // namespace

uint64_t deduplicate(const std::string& path) {
  const ImageSet set = ImageSet::open(path);
  std::map<std::pair<std::size_t, uint32_t>, Extents> todo;
  for (const ReplacedPages& pages : set.replaced()) {
    Extents& extents = todo[{pages.level, pages.pages_id}];
    extents = unite(extents, {{pages.offset, pages.offset + pages.bytes}});
  }
  for (const auto& [where, extents] : todo) refuse_signed(set.level(where.first));
  uint64_t freed = 0;
  for (const auto& [where, extents] : todo) {
    const DirectorySource& level = set.level(where.first);
    const std::string name = image_file::pages(where.second);
    const Fd file = level.open_file(name, O_RDWR);
    struct stat st {};
    if (::fstat(file.get(), &st) != 0) throw_errno(kDedupStep, level.path() + "/" + name);
    const Manifest* old = set.manifest(where.first);
    const img::crx_digest_entry* entry = old == nullptr ? nullptr : old->find(name);
    if (entry != nullptr) {
      // A level may have several such files, so the manifest is read from the disk again each time.
      const DirectorySource fresh(level.path());
      Manifest manifest = Manifest::read(fresh.load(image_file::kCrxIntegrity), level.path());
      const Extents all = unite(punched_of(*entry), extents);
      manifest.add(digest_without(file.get(), name, static_cast<uint64_t>(st.st_size), all));
      manifest.head().set_deduplicated(true);
      replace_manifest(level, manifest);
    }
    const uint64_t before = allocated(file.get());
    for (const PageRange& extent : extents) {
      if (::fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(extent.start),
                      static_cast<off_t>(extent.bytes())) != 0) {
        throw_errno(kDedupStep, level.path() + "/" + name);
      }
    }
    const uint64_t after = allocated(file.get());
    freed += before > after ? before - after : 0;
  }
  return freed;
}

}  // namespace crx
