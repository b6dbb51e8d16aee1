#include "common/image/integrity.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
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

std::string sha256(std::span<const std::byte> bytes) {
  std::string digest(kSha256Bytes, '\0');
  unsigned length = 0;
  if (::EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()), &length, EVP_sha256(),
                   nullptr) != 1 ||
      length != digest.size()) {
    throw Error(ErrorCode::bug, "computing digests", "libcrypto has no SHA-256");
  }
  return digest;
}

bool holds_pages(std::string_view name) {
  return name.starts_with("pages-");
}

void FileDigester::add(std::span<const std::byte> bytes) {
  size_ += bytes.size();
  if (!pages_) whole_.add(bytes);
  while (!bytes.empty()) {
    const std::size_t part = std::min<std::size_t>(bytes.size(), kChunkBytes - in_chunk_);
    chunk_.add(bytes.first(part));
    if (secure_) kept_.insert(kept_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(part));
    in_chunk_ += part;
    bytes = bytes.subspan(part);
    if (in_chunk_ < kChunkBytes) continue;
    chunks_ += chunk_.finish128().view();
    chunk_ = Digester();
    in_chunk_ = 0;
    if (!secure_) continue;
    sha256_ += sha256(kept_);
    kept_.clear();
  }
}

img::crx_digest_entry pages_entry(std::string name, uint64_t size, std::string chunks, std::string sha256) {
  img::crx_digest_entry entry;
  entry.set_name(std::move(name));
  entry.set_size(size);
  entry.set_digest(std::string(digest128(bytes_of(chunks)).view()));
  entry.set_chunks(std::move(chunks));
  if (!sha256.empty()) entry.set_sha256(std::move(sha256));
  return entry;
}

img::crx_digest_entry FileDigester::finish(std::string name) {
  if (in_chunk_ > 0) chunks_ += chunk_.finish128().view();
  if (secure_ && in_chunk_ > 0) sha256_ += sha256(kept_);
  if (pages_) return pages_entry(std::move(name), size_, chunks_, sha256_);
  img::crx_digest_entry entry;
  entry.set_name(std::move(name));
  entry.set_size(size_);
  entry.set_digest(std::string(whole_.finish128().view()));
  entry.set_chunks(chunks_);
  return entry;
}

img::crx_digest_entry digest_of(std::string name, std::string_view bytes, Digests digests) {
  FileDigester digester(false);
  digester.add(bytes_of(bytes));
  img::crx_digest_entry entry = digester.finish(std::move(name));
  if (digests == Digests::secure) entry.set_sha256(sha256(bytes_of(bytes)));
  return entry;
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
    if (entry.has_sha256() && entry.sha256().size() != kSha256Bytes * (holds_pages(entry.name()) ? chunks : 1))
      throw damaged("the SHA-256 of " + entry.name() + " is malformed");
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
  if (digest128(bytes).view() != std::string_view(entry.chunks()).substr(at, kChunkDigestBytes)) return false;
  if (!entry.has_sha256() || !holds_pages(entry.name())) return true;
  const std::string_view all = entry.sha256();
  const std::size_t from = index * kSha256Bytes;
  return from + kSha256Bytes <= all.size() && sha256(bytes) == all.substr(from, kSha256Bytes);
}

uint64_t first_difference(const img::crx_digest_entry& entry, std::string_view bytes) {
  for (std::size_t index = 0; index * kChunkBytes < bytes.size(); ++index) {
    const auto chunk = bytes_of(bytes.substr(index * kChunkBytes, kChunkBytes));
    if (!chunk_matches(entry, index, chunk)) return index * kChunkBytes;
  }
  return bytes.size();
}

bool sha256_matches(const img::crx_digest_entry& entry, std::string_view bytes) {
  return !entry.has_sha256() || entry.sha256() == sha256(bytes_of(bytes));
}

}  // namespace crx
