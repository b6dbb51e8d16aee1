// Signatures of image sets: whose count, and that nothing is used that they do not cover.
#include <doctest/doctest.h>
#include <openssl/cms.h>
#include <openssl/pem.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/image/dedup/dedup.hpp"
#include "common/image/magic.hpp"
#include "common/image/page_images.hpp"
#include "common/image/schema/inventory.pb.h"
#include "common/image/set_check.hpp"
#include "tests/unit/certificates.hpp"
#include "wire/signature/set_signer.hpp"
#include "wire/signature/trusted_signers.hpp"

namespace crx {
namespace {

namespace fs = std::filesystem;

constexpr PageSpace kSignedSpace{PageSpace::Kind::mm, 77};

std::string content_of(const std::string& path) {
  return read_file(path);
}

void write_whole(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// The text of the Error that `action` throws; empty if it throws none.
std::string fault_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Two MiB of pages, of which page N holds bytes of value `seed` + N, and one image. Returns the set's id.
std::string write_signed(const std::string& path, const wire::SetSigner* signer, unsigned seed = 1,
                         const std::string& parent = {}, const std::string& parent_id = {}) {
  DirectorySink sink(path);
  if (signer != nullptr) {
    sink.set_seal([signer](const Manifest& manifest) {
      const std::string bytes = manifest.bytes();
      return DirectorySink::Sealed{bytes, signer->sign(bytes)};
    });
  }
  Manifest manifest = Manifest::begin(img::crx_manifest_entry::DUMP);
  const std::string id = manifest.head().set_id();
  if (!parent.empty()) {
    manifest.head().set_parent_id(parent_id);
    sink.set_parent(parent);
  }
  img::inventory_entry inventory;
  inventory.set_img_version(kImageVersion);
  sink.append(image_file::kInventory, inventory);
  constexpr uint64_t kPages = 512;
  std::vector<std::byte> bytes;
  for (unsigned page = 0; page < kPages; ++page)
    bytes.insert(bytes.end(), kPageSize, static_cast<std::byte>(seed + page));
  PageWriter writer(sink, kSignedSpace, 1);
  for (uint64_t at = 0; at < bytes.size(); at += kChunkBytes)
    writer.add({{at, at + kChunkBytes}}, std::span(bytes).subspan(at, kChunkBytes));
  writer.finish(sink, {});
  sink.set_manifest(std::move(manifest));
  sink.commit();
  return id;
}

void use_all(const std::string& path, const SignatureCheck& check) {
  const ImageSet set = ImageSet::open(path, &check);
  set.verify_pages();
  static_cast<void>(set.pages(kSignedSpace));
}

struct Hosts {
  Hosts() { ca.issue(dir.path() + "/a", "a", "DNS:a.example,IP:10.0.0.1"); }
  std::string operator/(const std::string& name) const { return dir.path() + "/" + name; }
  test::TempDir dir;
  test::TestCa ca;
};

TEST_CASE("a signature tells the host, and counts only for the bytes that were signed") {
  const Hosts hosts;
  const wire::SetSigner signer(hosts / "a");
  const wire::TrustedSigners trusted(hosts / "a");
  const std::string bytes = "the manifest";
  const std::string signature = signer.sign(bytes);
  CHECK(trusted.signer(bytes, signature, "sig") == "a.example, 10.0.0.1");
  CHECK(
      has(fault_of([&] { trusted.signer(bytes + "!", signature, "sig"); }), "sig: it is not a signature of this set"));
  std::size_t refused = 0;
  for (std::size_t at = 0; at < signature.size(); at += 7) {
    std::string other = signature;
    other[at] = static_cast<char>(other[at] ^ 1);
    // A few bytes of the structure are not covered and mean nothing, such as those that announce the algorithms.
    std::string who = "a.example, 10.0.0.1";
    const std::string fault = fault_of([&] { who = trusted.signer(bytes, other, "sig"); });
    CHECK_MESSAGE(who == "a.example, 10.0.0.1", at);
    refused += fault.empty() ? 0 : 1;
  }
  CHECK(refused * 7 > signature.size() / 10 * 9);
  for (const std::string& other : {std::string(), std::string("text"), signature + "x", signature.substr(0, 99)})
    CHECK(has(fault_of([&] { trusted.signer(bytes, other, "sig"); }), "sig: it is not a signature"));
  const std::string huge(wire::kMaxSignatureBytes + 1, 'x');
  CHECK(has(fault_of([&] { trusted.signer(bytes, huge, "sig"); }), "it is too large for a signature"));
}

// A signature that OpenSSL makes with the key in DIR, whatever the certificate is for.
std::string sign_with(const std::string& dir, const std::string& bytes, unsigned flags = CMS_DETACHED | CMS_BINARY) {
  FILE* file = std::fopen((dir + "/cert.pem").c_str(), "r");
  X509* cert = PEM_read_X509(file, nullptr, nullptr, nullptr);
  std::fclose(file);
  file = std::fopen((dir + "/key.pem").c_str(), "r");
  EVP_PKEY* key = PEM_read_PrivateKey(file, nullptr, nullptr, nullptr);
  std::fclose(file);
  BIO* in = BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size()));
  CMS_ContentInfo* cms = CMS_sign(cert, key, nullptr, in, flags);
  unsigned char* der = nullptr;
  const int size = i2d_CMS_ContentInfo(cms, &der);
  REQUIRE(size > 0);
  std::string signature(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  CMS_ContentInfo_free(cms);
  BIO_free(in);
  EVP_PKEY_free(key);
  X509_free(cert);
  return signature;
}

TEST_CASE("whose signatures count") {
  const Hosts hosts;
  const std::string bytes = "the manifest";
  const auto verdict = [&](const std::string& signer) {
    const std::string signature = sign_with(hosts / signer, bytes);
    return fault_of([&] { wire::TrustedSigners(hosts / "a").signer(bytes, signature, "sig"); });
  };
  CHECK(verdict("a").empty());
  const test::TestCa other("another CA");
  other.issue(hosts / "other", "other", "DNS:other.example");
  CHECK(has(verdict("other"), "other.example signed it, whose certificate is not from"));
  hosts.ca.issue(hosts / "old", "old", "DNS:old.example", -3600, -60);
  CHECK(has(verdict("old"), "the certificate of old.example, which signed it, expired on"));
  CHECK(has(fault_of([&] { wire::SetSigner signer(hosts / "old"); }), "expired on"));
  hosts.ca.issue(hosts / "new", "new", "DNS:new.example", 3600, 7200);
  CHECK(has(verdict("new"), "the certificate of new.example, which signed it, is valid only from"));
  hosts.ca.issue(hosts / "revoked", "revoked", "DNS:revoked.example");
  CHECK(verdict("revoked").empty());
  hosts.ca.write_list(hosts / "a/crl.pem", {hosts / "revoked"});
  CHECK(has(verdict("revoked"), "the certificate of revoked.example, which signed it, is in"));
  CHECK(verdict("a").empty());
  hosts.ca.write_list(hosts / "a/crl.pem", {}, -60, -30);
  CHECK(has(verdict("a"), "says nothing about a.example"));
  fs::remove(hosts / "a/ca.pem");
  CHECK(has(verdict("a"), "ca.pem"));
}

TEST_CASE("a certificate that is not for signing signs nothing") {
  const Hosts hosts;
  const auto signs = [&](const std::string& alt, const std::string& usage, const std::string& key_usage) {
    hosts.ca.issue(hosts / "b", "b", alt, -60, 3600, usage, key_usage);
    return fault_of([&] { wire::SetSigner signer(hosts / "b"); });
  };
  CHECK(signs("DNS:b", "serverAuth,clientAuth", "digitalSignature").empty());
  CHECK(has(signs("DNS:b", "serverAuth,clientAuth", "keyAgreement"), "keyUsage does not contain digitalSignature"));
  CHECK(has(signs("DNS:b", "serverAuth,clientAuth", ""), "keyUsage does not contain digitalSignature"));
  CHECK(has(signs("DNS:b", "emailProtection", "digitalSignature"), "clientAuth"));
  CHECK(has(signs("", "serverAuth,clientAuth", "digitalSignature"), "subjectAltName"));
}

TEST_CASE("a key that cannot sign a set, or can in this OpenSSL, is known at once") {
  const Hosts hosts;
  hosts.ca.issue(hosts / "b", "b", "DNS:b.example", -60, 3600, "clientAuth", "digitalSignature", "ED25519");
  std::string signature;
  const std::string fault = fault_of([&] { signature = wire::SetSigner(hosts / "b").sign("text"); });
  const bool refused = has(fault, "b/key.pem cannot sign image sets: ") && has(fault, "with crx-keys");
  CHECK_MESSAGE((refused || wire::TrustedSigners(hosts / "a").signer("text", signature, "sig") == "b.example"), fault);
}

// A signature that openssl makes with the key of such a certificate does not count either.
TEST_CASE("the rules are those of the reader, not of the signer") {
  const Hosts hosts;
  const std::string bytes = "the manifest";
  const auto verdict = [&](const std::string& usage, const std::string& key_usage, unsigned flags) {
    hosts.ca.issue(hosts / "b", "b", "DNS:b.example", -60, 3600, usage, key_usage);
    const std::string signature = sign_with(hosts / "b", bytes, flags);
    return fault_of([&] { wire::TrustedSigners(hosts / "a").signer(bytes, signature, "sig"); });
  };
  constexpr unsigned kDetached = CMS_DETACHED | CMS_BINARY;
  CHECK(verdict("clientAuth", "digitalSignature", kDetached).empty());
  CHECK(has(verdict("clientAuth", "digitalSignature", CMS_BINARY), "not one detached signature"));
  CHECK(has(verdict("clientAuth", "digitalSignature", kDetached | CMS_NOCERTS), "not a signature of this set"));
  CHECK(has(verdict("clientAuth", "keyAgreement", kDetached), "is not for signing"));
  CHECK(has(verdict("clientAuth", "", kDetached), "is not for signing"));
  CHECK(has(verdict("emailProtection", "digitalSignature", kDetached), "is not for signing"));
}

TEST_CASE("every file of a signed set is covered") {
  const Hosts hosts;
  const wire::SetSigner signer(hosts / "a");
  const wire::TrustedSigners trusted(hosts / "a");
  const std::string path = hosts / "set";
  write_signed(path, &signer);
  use_all(path, trusted);
  CHECK(ImageSet::open(path, &trusted).signer(0) == "a.example, 10.0.0.1");
  CHECK(ImageSet::open(path).signer(0).empty());
  for (const auto& entry : fs::directory_iterator(path)) {
    const std::string before = content_of(entry.path());
    for (const std::size_t at : {std::size_t{0}, before.size() / 2, before.size() - 1}) {
      std::string after = before;
      after[at] = static_cast<char>(after[at] ^ 4);
      write_whole(entry.path(), after);
      CHECK_MESSAGE(has(fault_of([&] { use_all(path, trusted); }), ".img: "), entry.path(), " at ", at);
    }
    fs::remove(entry.path());
    CHECK_MESSAGE(has(fault_of([&] { use_all(path, trusted); }), "missing"), entry.path());
    write_whole(entry.path(), before);
    use_all(path, trusted);
  }
  write_whole(path + "/core-1.img", "x");
  CHECK(has(fault_of([&] { use_all(path, trusted); }), "core-1.img: it does not belong to the set"));
  fs::remove(path + "/core-1.img");
  // The signature and manifest of another set of the same host.
  write_signed(hosts / "other", &signer, 9);
  const std::string own = content_of(path + "/crx-signature.img");
  fs::copy_file(hosts / "other/crx-signature.img", path + "/crx-signature.img", fs::copy_options::overwrite_existing);
  CHECK(has(fault_of([&] { use_all(path, trusted); }), "crx-signature.img: it is not a signature of this set"));
  fs::copy_file(hosts / "other/crx-integrity.img", path + "/crx-integrity.img", fs::copy_options::overwrite_existing);
  CHECK(has(fault_of([&] { use_all(path, trusted); }), "was altered"));
}

TEST_CASE("a set without a signature, or with one that covers less, is refused") {
  const Hosts hosts;
  const wire::SetSigner signer(hosts / "a");
  const wire::TrustedSigners trusted(hosts / "a");
  write_signed(hosts / "unsigned", nullptr);
  CHECK(ImageSet::open(hosts / "unsigned").levels() == 1);
  CHECK(has(fault_of([&] { use_all(hosts / "unsigned", trusted); }), "crx-signature.img: the set is not signed"));
  // A signature over the manifest of a set without SHA-256.
  const std::string manifest = content_of(hosts / "unsigned/crx-integrity.img");
  write_whole(hosts / "unsigned/crx-signature.img", signer.sign(manifest));
  CHECK(has(fault_of([&] { use_all(hosts / "unsigned", trusted); }), "the signature does not cover"));
  // Pages that are not among the files of the manifest.
  write_signed(hosts / "set", &signer);
  Manifest elsewhere = Manifest::read(content_of(hosts / "set/crx-integrity.img"), "set");
  elsewhere.head().set_pages_elsewhere(true);
  write_whole(hosts / "set/crx-integrity.img", elsewhere.bytes());
  write_whole(hosts / "set/crx-signature.img", signer.sign(elsewhere.bytes()));
  CHECK(
      has(fault_of([&] { use_all(hosts / "set", trusted); }), "does not cover the pages, which are at a page server"));
}

TEST_CASE("every parent must be signed as well") {
  const Hosts hosts;
  const wire::SetSigner signer(hosts / "a");
  const wire::TrustedSigners trusted(hosts / "a");
  const std::string good = write_signed(hosts / "good", &signer);
  write_signed(hosts / "child", &signer, 2, "../good", good);
  CHECK(ImageSet::open(hosts / "child", &trusted).levels() == 2);
  fs::rename(hosts / "good/crx-signature.img", hosts / "kept");
  CHECK(ImageSet::open(hosts / "child").levels() == 2);
  CHECK(has(fault_of([&] { ImageSet::open(hosts / "child", &trusted); }),
            "child/parent/crx-signature.img: the set is not signed"));
  fs::rename(hosts / "kept", hosts / "good/crx-signature.img");
  // A set that was made without a parent has none.
  fs::create_symlink("../child", hosts / "good/parent");
  CHECK(has(fault_of([&] { ImageSet::open(hosts / "good", &trusted); }),
            "good/parent: the set was signed without a parent"));
  fs::remove(hosts / "good/parent");
  // Another signed set in the parent's place.
  write_signed(hosts / "other", &signer);
  fs::remove(hosts / "child/parent");
  fs::create_symlink("../other", hosts / "child/parent");
  CHECK(has(fault_of([&] { ImageSet::open(hosts / "child", &trusted); }), "is not the set that"));
}

TEST_CASE("what is used is what was checked, though the files change meanwhile") {
  const Hosts hosts;
  const wire::SetSigner signer(hosts / "a");
  const wire::TrustedSigners trusted(hosts / "a");
  write_signed(hosts / "set", &signer);
  const ImageSet set = ImageSet::open(hosts / "set", &trusted);
  std::vector<std::byte> page(kPageSize);
  const auto read = [&](uint64_t number) {
    const uint64_t at = number * kPageSize;
    for (const PagePiece& piece : set.pages(kSignedSpace)) {
      if (piece.range.start <= at && at < piece.range.end) set.read(piece, {at, at + kPageSize}, page);
    }
    return std::to_integer<unsigned>(page[1]);
  };
  CHECK(read(0) == 1);
  CHECK(read(300) == (1 + 300) % 256);
  {
    std::fstream file(hosts / "set/pages-1.img", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(100);
    file << "!";
  }
  // The second MiB is in memory and as it was; the first one has to be read again.
  CHECK(read(301) == (1 + 301) % 256);
  CHECK(has(fault_of([&] { read(0); }), "pages-1.img: it was altered: the MiB at offset 0"));
  write_whole(hosts / "set/core-7.img", "late");
  write_whole(hosts / "set/inventory.img", "other");
  CHECK_FALSE(set.images().contains("core-7.img"));
  for (const std::string& name : set.images().names()) CHECK(name != "core-7.img");
  CHECK(set.images().read_one<img::inventory_entry>(image_file::kInventory).img_version() == kImageVersion);
}

TEST_CASE("SHA-256 is compared wherever it is, though XXH3 is the same") {
  const Hosts hosts;
  const wire::SetSigner signer(hosts / "a");
  for (const std::string name : {"pages-1.img", "inventory.img"}) {
    write_signed(hosts / "set", &signer);
    Manifest manifest = Manifest::read(content_of(hosts / "set/crx-integrity.img"), "set");
    img::crx_digest_entry entry = *manifest.find(name);
    (*entry.mutable_sha256())[3] ^= 1;
    manifest.add(entry);
    write_whole(hosts / "set/crx-integrity.img", manifest.bytes());
    CHECK(has(fault_of([&] { ImageSet::open(hosts / "set").verify_pages(); }), name + ": it was altered"));
  }
}

TEST_CASE("pages of a signed parent are not freed") {
  const Hosts hosts;
  const wire::SetSigner signer(hosts / "a");
  const std::string id = write_signed(hosts / "1", &signer);
  write_signed(hosts / "2", nullptr, 2, "../1", id);
  const std::string before = content_of(hosts / "1/pages-1.img");
  CHECK(has(fault_of([&] { deduplicate(hosts / "2"); }), "is signed, and freeing pages would void its signature"));
  CHECK(content_of(hosts / "1/pages-1.img") == before);
  fs::remove(hosts / "1/crx-signature.img");
  CHECK(deduplicate(hosts / "2") > 0);
}

}  // namespace
}  // namespace crx
