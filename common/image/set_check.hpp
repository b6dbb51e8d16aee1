// Checks the files of a set against its manifest, and the manifest against its signature.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/image/image_directory.hpp"
#include "common/image/integrity.hpp"

namespace crx {

inline constexpr char kUseAnotherCopy[] = "use another copy of the set";

[[noreturn]] void throw_damaged(const std::string& what, const char* remedy = kUseAnotherCopy);
// image: the path of the file.
[[noreturn]] void throw_damaged_image(std::string image, const std::string& what, const char* remedy = kUseAnotherCopy);

// Says whose signature a set has (wire/signature). Const members may be used by several threads.
class SignatureCheck {
 public:
  virtual ~SignatureCheck() = default;
  // manifest: the bytes of crx-integrity.img; signature: those of crx-signature.img; shown: the path of the latter.
  // Returns the names of the host that signed. Throws Error(refused) naming `shown` if the signature is not of these
  // bytes, or not of a host that is trusted.
  virtual std::string signer(std::string_view manifest, std::string_view signature, const std::string& shown) const = 0;
  // Sets the remedy that errors name for a set without a signature, or with one that covers less. By default it is the
  // one for a user who reads sets.
  void set_remedy(std::string remedy) { remedy_ = std::move(remedy); }
  const std::string& remedy() const { return remedy_; }

 private:
  std::string remedy_ =
      "use a set that crx-dump --sign made, or leave out --require-signature if you trust its author as root";
};

// Demands that the set is signed, and returns its signer. The source keeps the bytes of the manifest that were checked.
// Throws Error(refused) if there is no signature, and what `check` throws.
std::string check_signature(const DirectorySource& source, const SignatureCheck& check);

// Reads the manifest of the set; nullopt for a set that CRIU made. All files but pages are compared with it, and the
// source keeps what was compared and sees no others from now on; pages must have the right length. Throws
// Error(corrupt_image) for files that are missing, altered or of another set.
std::optional<Manifest> check_set(DirectorySource& source);

// Throws Error(refused) if a file of the set, or pages that it has elsewhere, are not covered by SHA-256, or if there
// is a `parent` that the manifest does not name.
void require_signed_files(const DirectorySource& source, const Manifest& manifest, const SignatureCheck& check);

}  // namespace crx
