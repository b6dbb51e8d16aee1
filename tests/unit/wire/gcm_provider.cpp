// Our AES-128-GCM gives the same result as OpenSSL's for every message, and rejects altered ones.
#include <doctest/doctest.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include <array>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "wire/connection/gcm_provider.hpp"

using namespace crx::wire;

namespace {

using Bytes = std::vector<unsigned char>;
using Library = std::unique_ptr<OSSL_LIB_CTX, decltype(&OSSL_LIB_CTX_free)>;
using Algorithm = std::unique_ptr<EVP_CIPHER, decltype(&EVP_CIPHER_free)>;
using Context = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

struct Message {
  Bytes key, iv, aad, text;
};

Bytes random_bytes(std::mt19937& random, std::size_t count) {
  Bytes bytes(count);
  for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(random());
  return bytes;
}

// Seals or opens the message in place like a TLS record, the text in `pieces` parts. Returns false if it is rejected.
bool run(EVP_CIPHER_CTX* context, const EVP_CIPHER* cipher, bool seal, Message& m, Bytes& tag, std::size_t pieces) {
  int n = 0;
  REQUIRE(EVP_CipherInit_ex(context, cipher, nullptr, m.key.data(), nullptr, seal ? 1 : 0) == 1);
  REQUIRE(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_IVLEN, 12, nullptr) == 1);
  REQUIRE(EVP_CipherInit_ex(context, nullptr, nullptr, nullptr, m.iv.data(), seal ? 1 : 0) == 1);
  if (!seal) REQUIRE(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16, tag.data()) == 1);
  if (!m.aad.empty())
    REQUIRE(EVP_CipherUpdate(context, nullptr, &n, m.aad.data(), static_cast<int>(m.aad.size())) == 1);
  for (std::size_t at = 0, step = m.text.size() / pieces + 1; at < m.text.size(); at += step) {
    const int count = static_cast<int>(std::min(step, m.text.size() - at));
    REQUIRE(EVP_CipherUpdate(context, m.text.data() + at, &n, m.text.data() + at, count) == 1);
    CHECK(n == count);
  }
  unsigned char none[16];
  if (EVP_CipherFinal_ex(context, none, &n) != 1) return false;
  if (seal) REQUIRE(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, tag.data()) == 1);
  return true;
}

}  // namespace

TEST_CASE("AES-128-GCM of the provider and of OpenSSL are the same") {
  const Library library(OSSL_LIB_CTX_new(), OSSL_LIB_CTX_free);
  REQUIRE(OSSL_PROVIDER_load(library.get(), "default") != nullptr);
  const bool added = add_gcm_provider(library.get());
  if (!added) MESSAGE("this CPU has no VAES, VPCLMULQDQ and AVX-512: OpenSSL's own is used");
  ERR_clear_error();
  const Algorithm ours(EVP_CIPHER_fetch(library.get(), "id-aes128-GCM", kGcmFirst), EVP_CIPHER_free);
  const Algorithm theirs(EVP_CIPHER_fetch(library.get(), "id-aes128-GCM", "provider=default"), EVP_CIPHER_free);
  REQUIRE(ours);
  REQUIRE(theirs);
  CHECK(std::string_view(OSSL_PROVIDER_get0_name(EVP_CIPHER_get0_provider(ours.get()))) ==
        (added ? "crx-gcm" : "default"));
  const Context one(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free), other(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);

  std::mt19937 random(7);
  for (int i = 0; i < 2000; ++i) {
    const std::size_t longest = i % 8 == 0 ? 20'000 : 300;
    Message sealed{random_bytes(random, 16), random_bytes(random, 12), random_bytes(random, random() % 14),
                   random_bytes(random, random() % longest)};
    const std::size_t pieces = 1 + random() % 3;
    Message reference = sealed;
    const Bytes text = sealed.text;
    Bytes tag(16), expected(16);
    REQUIRE(run(one.get(), ours.get(), true, sealed, tag, pieces));
    REQUIRE(run(other.get(), theirs.get(), true, reference, expected, 1));
    REQUIRE(sealed.text == reference.text);
    REQUIRE(tag == expected);
    Message altered = sealed;
    REQUIRE(run(one.get(), ours.get(), false, sealed, tag, pieces));
    REQUIRE(sealed.text == text);
    Bytes wrong = tag;
    Bytes& harmed = altered.text.empty() || i % 3 == 0  ? wrong
                    : i % 3 == 1 || altered.aad.empty() ? altered.text
                                                        : altered.aad;
    harmed[random() % harmed.size()] ^= static_cast<unsigned char>(1U << random() % 8);
    CHECK_FALSE(run(one.get(), ours.get(), false, altered, wrong, pieces));
  }
  ERR_clear_error();
}

TEST_CASE("the provider seals nothing without a fresh IV, and takes no other lengths") {
  const Library library(OSSL_LIB_CTX_new(), OSSL_LIB_CTX_free);
  if (!add_gcm_provider(library.get())) {
    ERR_clear_error();
    return;
  }
  const Algorithm ours(EVP_CIPHER_fetch(library.get(), "AES-128-GCM", nullptr), EVP_CIPHER_free);
  REQUIRE(ours);
  const Context context(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  std::array<unsigned char, 16> key{}, text{}, tag{};
  int n = 0;
  REQUIRE(EVP_CipherInit_ex(context.get(), ours.get(), nullptr, key.data(), nullptr, 1) == 1);
  CHECK(EVP_CipherUpdate(context.get(), text.data(), &n, text.data(), 16) != 1);
  CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_IVLEN, 16, nullptr) != 1);
  REQUIRE(EVP_CipherInit_ex(context.get(), nullptr, nullptr, nullptr, key.data(), 1) == 1);
  REQUIRE(EVP_CipherUpdate(context.get(), text.data(), &n, text.data(), 16) == 1);
  CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, 16, tag.data()) != 1);  // not before the end
  REQUIRE(EVP_CipherFinal_ex(context.get(), tag.data(), &n) == 1);
  CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, 16, tag.data()) == 1);
  CHECK(EVP_CipherUpdate(context.get(), text.data(), &n, text.data(), 16) != 1);
  REQUIRE(EVP_CipherInit_ex(context.get(), nullptr, nullptr, nullptr, text.data(), 1) == 1);
  // nor is the tag of the previous message available
  CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, 16, tag.data()) != 1);
  ERR_clear_error();
}
