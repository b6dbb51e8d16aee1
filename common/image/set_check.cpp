#include "common/image/set_check.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "common/base/error.hpp"
#include "common/image/magic.hpp"

namespace crx {
namespace {

constexpr char kChecking[] = "checking the image set";
constexpr char kSignatureStep[] = "checking the signature of the image set";

void check_length(const DirectorySource& source, const img::crx_digest_entry& entry) {
  const std::string shown = source.path() + "/" + entry.name();
  struct stat st {};
  const Fd file = source.open_file(entry.name());
  if (::fstat(file.get(), &st) != 0) throw_errno(kChecking, shown);
  const auto size = static_cast<uint64_t>(st.st_size);
  if (size == entry.size()) return;
  throw_damaged_image(
      shown, fmt::format("it {} at offset {}: it has {} bytes instead of {}", size < entry.size() ? "ends" : "goes on",
                         std::min(size, entry.size()), size, entry.size()));
}

void check_content(const DirectorySource& source, const img::crx_digest_entry& entry) {
  const std::string shown = source.path() + "/" + entry.name();
  const std::string_view bytes = source.load(entry.name());
  const uint64_t at = first_difference(entry, bytes);
  if (at < bytes.size()) {
    throw_damaged_image(
        shown, fmt::format("it was altered, or belongs to another set: the MiB at offset {} is not as written", at));
  }
  if (bytes.size() != entry.size()) {
    throw_damaged_image(shown,
                        fmt::format("it ends at offset {}, and should have {} bytes", bytes.size(), entry.size()));
  }
  if (!sha256_matches(entry, bytes)) throw_damaged_image(shown, "it was altered: its SHA-256 is not as written");
}

// Checks that every file of the manifest exists with its size and, except for page files, its content; and that there
// is no other file among `names`.
void check_files(const DirectorySource& source, const Manifest& manifest, const std::vector<std::string>& names) {
  for (const auto& [name, entry] : manifest.files()) {
    if (!std::binary_search(names.begin(), names.end(), name))
      throw_damaged_image(source.path() + "/" + name, "it is missing");
    if (holds_pages(name)) {
      check_length(source, entry);
    } else {
      check_content(source, entry);
    }
  }
  for (const std::string& name : names) {
    if (name == image_file::kCrxIntegrity || name == image_file::kCrxSignature || name.starts_with("stats-") ||
        manifest.find(name) != nullptr) {
      continue;
    }
    if (manifest.head().pages_elsewhere() && (name.starts_with("pagemap-") || holds_pages(name))) continue;
    throw_damaged_image(source.path() + "/" + name, "it does not belong to the set");
  }
}

}  // namespace

void throw_damaged(const std::string& what, const char* remedy) {
  throw Error(ErrorCode::corrupt_image, kChecking, what).with_hint(remedy);
}

void throw_damaged_image(std::string image, const std::string& what, const char* remedy) {
  throw Error(ErrorCode::corrupt_image, kChecking, what).with_image(std::move(image)).with_hint(remedy);
}

std::string check_signature(const DirectorySource& source, const SignatureCheck& check) {
  const std::string shown = source.path() + "/" + std::string(image_file::kCrxSignature);
  if (!source.contains(image_file::kCrxIntegrity) || !source.contains(image_file::kCrxSignature)) {
    throw Error(ErrorCode::refused, kSignatureStep, "the set is not signed: the file is missing")
        .with_image(shown)
        .with_hint(check.remedy());
  }
  return check.signer(source.load(image_file::kCrxIntegrity), source.load(image_file::kCrxSignature), shown);
}

std::optional<Manifest> check_set(DirectorySource& source) {
  std::vector<std::string> names = source.names();
  const std::string shown = source.path() + "/" + std::string(image_file::kCrxIntegrity);
  if (!source.contains(image_file::kCrxIntegrity)) {
    // A set with a file that only crx writes must have a manifest.
    const auto ours =
        std::find_if(names.begin(), names.end(), [](const std::string& name) { return name.starts_with("crx-"); });
    if (ours != names.end()) throw_damaged_image(shown, "it is missing, and " + *ours + " is of crx");
    return std::nullopt;
  }
  Manifest manifest = Manifest::read(source.load(image_file::kCrxIntegrity), shown);
  check_files(source, manifest, names);
  source.keep_to(std::move(names));
  return manifest;
}

void require_signed_files(const DirectorySource& source, const Manifest& manifest, const SignatureCheck& check) {
  struct stat st {};
  if (!manifest.head().has_parent_id() && ::fstatat(source.directory(), "parent", &st, AT_SYMLINK_NOFOLLOW) == 0) {
    throw Error(ErrorCode::refused, kSignatureStep, "the set was signed without a parent, so it does not belong to it")
        .with_image(source.path() + "/parent")
        .with_hint("remove it");
  }
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorCode::refused, kSignatureStep, what)
        .with_image(source.path() + "/" + std::string(image_file::kCrxIntegrity))
        .with_hint(check.remedy());
  };
  if (manifest.head().pages_elsewhere()) refuse("the signature does not cover the pages, which are at a page server");
  for (const auto& [name, entry] : manifest.files()) {
    if (!entry.has_sha256() && !(holds_pages(name) && entry.size() == 0))
      refuse("the signature does not cover " + name + ": its SHA-256 is missing");
  }
}

}  // namespace crx
