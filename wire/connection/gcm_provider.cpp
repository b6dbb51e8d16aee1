#include "wire/connection/gcm_provider.hpp"

#include <intel-ipsec-mb.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include <array>
#include <cstring>
#include <memory>
#include <new>

namespace crx::wire {
namespace {

constexpr std::size_t kKeyBytes = 16, kIvBytes = 12, kTagBytes = 16;
constexpr std::size_t kMaxAad = 64;  // TLS 1.3 uses 5

struct FreeManager {
  void operator()(IMB_MGR* manager) const noexcept { free_mb_mgr(manager); }
};
using Manager = std::unique_ptr<IMB_MGR, FreeManager>;

// Handles one key and one message at a time, in the order of EVP: init, additional data, text, final.
struct Cipher {
  explicit Cipher(IMB_MGR* manager_) : manager(manager_) {}
  ~Cipher() { OPENSSL_cleanse(this, sizeof *this); }

  IMB_MGR* manager;
  alignas(64) gcm_key_data key;  // the library stores whole vectors to it
  alignas(64) gcm_context_data state;
  std::array<unsigned char, kIvBytes> iv{};
  std::array<unsigned char, kTagBytes> tag{};
  std::array<unsigned char, kMaxAad> aad{};
  std::size_t aad_bytes = 0;
  bool has_key = false, has_iv = false, has_tag = false;
  bool sealing = false;
  bool begun = false;  // all additional data has been passed

  int init(bool seals, const unsigned char* new_key, std::size_t key_bytes, const unsigned char* new_iv,
           std::size_t iv_bytes);
  void begin();
  int update(unsigned char* out, std::size_t* out_bytes, std::size_t room, const unsigned char* in, std::size_t count);
  int finish();
};

int Cipher::init(bool seals, const unsigned char* new_key, std::size_t key_bytes, const unsigned char* new_iv,
                 std::size_t iv_bytes) {
  sealing = seals;
  if (seals) has_tag = false;  // it belonged to the previous message
  aad_bytes = 0;
  begun = false;
  if (new_key != nullptr) {
    if (key_bytes != kKeyBytes) return 0;
    IMB_AES128_GCM_PRE(manager, new_key, &key);
    has_key = true;
  }
  if (new_iv != nullptr) {
    if (iv_bytes != kIvBytes) return 0;
    std::memcpy(iv.data(), new_iv, kIvBytes);
    has_iv = true;
  }
  return 1;
}

void Cipher::begin() {
  if (begun) return;
  IMB_AES128_GCM_INIT(manager, &key, &state, iv.data(), aad.data(), aad_bytes);
  begun = true;
}

int Cipher::update(unsigned char* out, std::size_t* out_bytes, std::size_t room, const unsigned char* in,
                   std::size_t count) {
  *out_bytes = 0;
  if (!has_key || !has_iv) return 0;
  if (out == nullptr) {
    if (begun || count > aad.size() - aad_bytes) return 0;
    if (count > 0) std::memcpy(aad.data() + aad_bytes, in, count);
    aad_bytes += count;
    return 1;
  }
  if (room < count) return 0;
  begin();
  if (sealing)
    IMB_AES128_GCM_ENC_UPDATE(manager, &key, &state, out, in, count);
  else
    IMB_AES128_GCM_DEC_UPDATE(manager, &key, &state, out, in, count);
  *out_bytes = count;
  return 1;
}

// An IV may be used for one message only, so it has to be set again.
int Cipher::finish() {
  if (!has_key || !has_iv || (!sealing && !has_tag)) return 0;
  begin();
  has_iv = false;
  if (sealing) {
    IMB_AES128_GCM_ENC_FINALIZE(manager, &key, &state, tag.data(), tag.size());
    has_tag = true;
    return 1;
  }
  std::array<unsigned char, kTagBytes> found{};
  IMB_AES128_GCM_DEC_FINALIZE(manager, &key, &state, found.data(), found.size());
  has_tag = false;
  return CRYPTO_memcmp(found.data(), tag.data(), found.size()) == 0 ? 1 : 0;
}

// The functions of provider-cipher(7), with the types that it prescribes.
Cipher& of(void* cipher) {
  return *static_cast<Cipher*>(cipher);
}

void* make(void* manager) {
  return new (std::nothrow) Cipher(static_cast<IMB_MGR*>(manager));
}

void free_cipher(void* cipher) {
  delete static_cast<Cipher*>(cipher);
}

int get_ctx_params(void* cipher, OSSL_PARAM params[]) {
  const Cipher& self = of(cipher);
  for (OSSL_PARAM* p = params; p != nullptr && p->key != nullptr; ++p) {
    int ok = 1;
    if (std::strcmp(p->key, OSSL_CIPHER_PARAM_KEYLEN) == 0) ok = OSSL_PARAM_set_size_t(p, kKeyBytes);
    if (std::strcmp(p->key, OSSL_CIPHER_PARAM_IVLEN) == 0) ok = OSSL_PARAM_set_size_t(p, kIvBytes);
    if (std::strcmp(p->key, OSSL_CIPHER_PARAM_AEAD_TAGLEN) == 0) ok = OSSL_PARAM_set_size_t(p, kTagBytes);
    if (std::strcmp(p->key, OSSL_CIPHER_PARAM_AEAD_TAG) == 0) {
      if (!self.sealing || !self.has_tag || p->data_size > kTagBytes) return 0;
      ok = OSSL_PARAM_set_octet_string(p, self.tag.data(), p->data_size);
    }
    if (ok != 1) return 0;
  }
  return 1;
}

int set_ctx_params(void* cipher, const OSSL_PARAM params[]) {
  Cipher& self = of(cipher);
  if (const OSSL_PARAM* p = params == nullptr ? nullptr : OSSL_PARAM_locate_const(params, OSSL_CIPHER_PARAM_AEAD_TAG)) {
    if (p->data_type != OSSL_PARAM_OCTET_STRING || p->data == nullptr || p->data_size != kTagBytes) return 0;
    std::memcpy(self.tag.data(), p->data, kTagBytes);
    self.has_tag = true;
  }
  if (const OSSL_PARAM* p =
          params == nullptr ? nullptr : OSSL_PARAM_locate_const(params, OSSL_CIPHER_PARAM_AEAD_IVLEN)) {
    std::size_t bytes = 0;
    if (OSSL_PARAM_get_size_t(p, &bytes) != 1 || bytes != kIvBytes) return 0;
  }
  return 1;
}

template <bool Sealing>
int init(void* cipher, const unsigned char* key, std::size_t key_bytes, const unsigned char* iv, std::size_t iv_bytes,
         const OSSL_PARAM params[]) {
  if (of(cipher).init(Sealing, key, key_bytes, iv, iv_bytes) != 1) return 0;
  return set_ctx_params(cipher, params);
}

int update(void* cipher, unsigned char* out, std::size_t* out_bytes, std::size_t room, const unsigned char* in,
           std::size_t count) {
  return of(cipher).update(out, out_bytes, room, in, count);
}

int finish(void* cipher, unsigned char* /*out*/, std::size_t* out_bytes, std::size_t /*room*/) {
  *out_bytes = 0;
  return of(cipher).finish();
}

int get_params(OSSL_PARAM params[]) {
  const auto set = [&](const char* name, auto setter, auto value) {
    OSSL_PARAM* p = OSSL_PARAM_locate(params, name);
    return p == nullptr || setter(p, value) == 1;
  };
  return set(OSSL_CIPHER_PARAM_MODE, OSSL_PARAM_set_uint, static_cast<unsigned>(EVP_CIPH_GCM_MODE)) &&
         set(OSSL_CIPHER_PARAM_KEYLEN, OSSL_PARAM_set_size_t, kKeyBytes) &&
         set(OSSL_CIPHER_PARAM_IVLEN, OSSL_PARAM_set_size_t, kIvBytes) &&
         set(OSSL_CIPHER_PARAM_BLOCK_SIZE, OSSL_PARAM_set_size_t, std::size_t{1}) &&
         set(OSSL_CIPHER_PARAM_AEAD, OSSL_PARAM_set_int, 1) && set(OSSL_CIPHER_PARAM_CUSTOM_IV, OSSL_PARAM_set_int, 1);
}

const OSSL_PARAM* gettable(void* /*cipher*/, void* /*manager*/) {
  static const OSSL_PARAM known[] = {OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, nullptr),
                                     OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, nullptr),
                                     OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_AEAD_TAGLEN, nullptr),
                                     OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, nullptr, 0), OSSL_PARAM_END};
  return known;
}

const OSSL_PARAM* settable(void* /*cipher*/, void* /*manager*/) {
  static const OSSL_PARAM known[] = {OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_AEAD_IVLEN, nullptr),
                                     OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, nullptr, 0), OSSL_PARAM_END};
  return known;
}

template <typename F>
OSSL_DISPATCH entry(int id, F* function) {
  return {id, reinterpret_cast<void (*)()>(function)};
}

const OSSL_ALGORITHM* query(void* /*manager*/, int operation, int* no_cache) {
  static const OSSL_DISPATCH functions[] = {
      entry(OSSL_FUNC_CIPHER_NEWCTX, make),
      entry(OSSL_FUNC_CIPHER_FREECTX, free_cipher),
      entry(OSSL_FUNC_CIPHER_ENCRYPT_INIT, init<true>),
      entry(OSSL_FUNC_CIPHER_DECRYPT_INIT, init<false>),
      entry(OSSL_FUNC_CIPHER_UPDATE, update),
      entry(OSSL_FUNC_CIPHER_FINAL, finish),
      entry(OSSL_FUNC_CIPHER_GET_PARAMS, get_params),
      entry(OSSL_FUNC_CIPHER_GET_CTX_PARAMS, get_ctx_params),
      entry(OSSL_FUNC_CIPHER_SET_CTX_PARAMS, set_ctx_params),
      entry(OSSL_FUNC_CIPHER_GETTABLE_CTX_PARAMS, gettable),
      entry(OSSL_FUNC_CIPHER_SETTABLE_CTX_PARAMS, settable),
      {0, nullptr},
  };
  static const OSSL_ALGORITHM ciphers[] = {
      {"AES-128-GCM:id-aes128-GCM:2.16.840.1.101.3.4.1.6", "provider=crx-gcm", functions, "AES-128-GCM of libIPSec_MB"},
      {nullptr, nullptr, nullptr, nullptr},
  };
  *no_cache = 0;
  return operation == OSSL_OP_CIPHER ? ciphers : nullptr;
}

Manager make_manager() {
  Manager manager(alloc_mb_mgr(0));
  if (!manager) return nullptr;
  constexpr uint64_t kWanted = IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ | IMB_FEATURE_AVX512_SKX;
  if ((manager->features & kWanted) != kWanted) return nullptr;
  init_mb_mgr_avx512(manager.get());
  return imb_get_errno(manager.get()) == 0 ? std::move(manager) : nullptr;
}

int start(const OSSL_CORE_HANDLE* /*core*/, const OSSL_DISPATCH* /*from_core*/, const OSSL_DISPATCH** functions,
          void** manager) {
  static const OSSL_DISPATCH provided[] = {
      entry(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query),
      entry(
          OSSL_FUNC_PROVIDER_TEARDOWN, +[](void* made) { free_mb_mgr(static_cast<IMB_MGR*>(made)); }),
      {0, nullptr},
  };
  Manager made = make_manager();
  if (!made) return 0;
  *functions = provided;
  *manager = made.release();
  return 1;
}

}  // namespace

ossl_provider_st* add_gcm_provider(ossl_lib_ctx_st* library) {
  return OSSL_PROVIDER_add_builtin(library, "crx-gcm", start) == 1 ? OSSL_PROVIDER_load(library, "crx-gcm") : nullptr;
}

}  // namespace crx::wire
