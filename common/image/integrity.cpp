#include "common/image/integrity.hpp"

#include <fmt/format.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>

#include <algorithm>

#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/version.hpp"
#include "common/image/image_store.hpp"
#include "common/image/magic.hpp"

namespace crx {
namespace {

constexpr std::size_t kChunkDigestBytes = 16;
constexpr std::size_t kIdBytes = 16;

std::string boot_id() {
  const Fd file = try_open("/proc/sys/kernel/random/boot_id", 0);
  if (!file) return {};
  std::string text = read_fd(file.get(), "boot_id");
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace

void FileDigester::add(std::span<const std::byte> bytes) {
  size_ += bytes.size();
  if (!pages_) whole_.add(bytes);
  while (!bytes.empty()) {
    const std::size_t part = std::min<std::size_t>(bytes.size(), kChunkBytes - in_chunk_);
    chunk_.add(bytes.first(part));
    in_chunk_ += part;
    bytes = bytes.subspan(part);
    if (in_chunk_ < kChunkBytes) continue;
    chunks_ += chunk_.finish128().view();
    chunk_ = Digester();
    in_chunk_ = 0;
  }
}

img::crx_digest_entry pages_entry(std::string name, uint64_t size, std::string chunks) {
  img::crx_digest_entry entry;
  entry.set_name(std::move(name));
  entry.set_size(size);
  entry.set_digest(std::string(digest128(bytes_of(chunks)).view()));
  entry.set_chunks(std::move(chunks));
  return entry;
}

img::crx_digest_entry FileDigester::finish(std::string name) {
  if (in_chunk_ > 0) chunks_ += chunk_.finish128().view();
  if (pages_) return pages_entry(std::move(name), size_, chunks_);
  img::crx_digest_entry entry;
  entry.set_name(std::move(name));
  entry.set_size(size_);
  entry.set_digest(std::string(whole_.finish128().view()));
  entry.set_chunks(chunks_);
  return entry;
}

img::crx_digest_entry digest_of(std::string name, std::string_view bytes) {
  FileDigester digester(false);
  digester.add(bytes_of(bytes));
  return digester.finish(std::move(name));
}

Manifest Manifest::begin(img::crx_manifest_entry::Kind kind) {
  Manifest manifest;
  std::string id(kIdBytes, '\0');
  if (::getrandom(id.data(), id.size(), 0) != static_cast<ssize_t>(id.size()))
    throw_errno("naming the set", "getrandom");
  manifest.head_.set_version(kManifestVersion);
  manifest.head_.set_set_id(id);
  manifest.head_.set_kind(kind);
  manifest.head_.set_time_ns(clock_ns(CLOCK_REALTIME));
  manifest.head_.set_boot_id(boot_id());
  manifest.head_.set_tool(version());
  utsname host{};
  if (::uname(&host) == 0) {
    manifest.head_.set_host(host.nodename);
    manifest.head_.set_kernel(host.release);
  }
  return manifest;
}

Manifest Manifest::read(std::string_view bytes, const std::string& shown) {
  const auto damaged = [&](const std::string& why) -> Error {
    return Error(ErrorCode::corrupt_image, "checking the image set", why)
        .with_image(shown)
        .with_hint("use another copy of the set");
  };
  ImageReader image(std::string(image_file::kCrxIntegrity), bytes);
  Manifest manifest;
  manifest.head_ = image.expect<img::crx_manifest_entry>();
  if (manifest.head_.version() != kManifestVersion) {
    throw Error(
        ErrorCode::unsupported, "checking the image set",
        fmt::format("it has format {}, and this crx knows format {} only", manifest.head_.version(), kManifestVersion))
        .with_image(shown)
        .with_hint("use the version of crx that made it, or a newer one");
  }
  if (manifest.head_.set_id().size() != kIdBytes) throw damaged("the name of the set is malformed");
  bool whole = false;
  for (img::crx_digest_entry entry; image.next(entry);) {
    const uint64_t chunks = entry.size() / kChunkBytes + (entry.size() % kChunkBytes != 0 ? 1 : 0);
    if (whole) throw damaged("data follows its end");
    if (!image_file::valid_name(entry.name())) throw damaged("it names a file that no set has");
    if (entry.digest().size() != kChunkDigestBytes || entry.chunks().size() / kChunkDigestBytes != chunks ||
        entry.chunks().size() % kChunkDigestBytes != 0) {
      throw damaged("the digests of " + entry.name() + " are malformed");
    }
    if (manifest.files_.contains(entry.name())) throw damaged(entry.name() + " is listed twice");
    if (entry.name() != image_file::kCrxIntegrity) {
      manifest.add(entry);
      continue;
    }
    whole = entry.size() <= bytes.size() && digest128(bytes_of(bytes.substr(0, entry.size()))).view() == entry.digest();
    if (!whole) throw damaged("it was altered");
  }
  if (!whole) throw damaged(fmt::format("it ends at offset {}, before its end", bytes.size()));
  return manifest;
}

std::string Manifest::bytes() const {
  ImageStore store;
  store.append(image_file::kCrxIntegrity, head_);
  for (const auto& [name, entry] : files_) store.append(image_file::kCrxIntegrity, entry);
  const std::string before(store.load(image_file::kCrxIntegrity));
  store.append(image_file::kCrxIntegrity, digest_of(std::string(image_file::kCrxIntegrity), before));
  return std::string(store.load(image_file::kCrxIntegrity));
}

std::string Manifest::id_text() const {
  Digest128 id;
  std::copy_n(head_.set_id().begin(), std::min(head_.set_id().size(), id.bytes.size()), id.bytes.begin());
  return id.hex();
}

void Manifest::add(img::crx_digest_entry entry) {
  std::string name = entry.name();
  files_.insert_or_assign(std::move(name), std::move(entry));
}

const img::crx_digest_entry* Manifest::find(std::string_view name) const {
  const auto found = files_.find(name);
  return found == files_.end() ? nullptr : &found->second;
}

bool chunk_matches(const img::crx_digest_entry& entry, std::size_t index, std::span<const std::byte> bytes) {
  const std::size_t at = index * kChunkDigestBytes;
  if (at + kChunkDigestBytes > entry.chunks().size()) return false;
  return digest128(bytes).view() == std::string_view(entry.chunks()).substr(at, kChunkDigestBytes);
}

uint64_t first_difference(const img::crx_digest_entry& entry, std::string_view bytes) {
  for (std::size_t index = 0; index * kChunkBytes < bytes.size(); ++index) {
    const auto chunk = bytes_of(bytes.substr(index * kChunkBytes, kChunkBytes));
    if (!chunk_matches(entry, index, chunk)) return index * kChunkBytes;
  }
  return bytes.size();
}

}  // namespace crx
