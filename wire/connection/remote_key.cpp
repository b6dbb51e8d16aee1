#include "wire/connection/remote_key.hpp"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/x509.h>

#include <cstring>
#include <memory>
#include <new>

#include "common/base/c_ptr.hpp"

namespace crx::wire {
namespace {

constexpr char kRemoteParam[] = "crx-remote";  // import: the address of the RemoteKey
constexpr char kSignatureName[] = "CRX-REMOTE";
// Everybody else's keys are of the default provider: see kGcmFirst.
constexpr char kKeyProperties[] = "provider=crx-key,crx.remote=yes";
constexpr char kDefaultOnly[] = "provider=default";

using HalfPtr = CPtr<EVP_PKEY, EVP_PKEY_free>;
using HalfContextPtr = CPtr<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;

// The public half, which answers all questions about the key, and where signatures come from.
struct Key {
  explicit Key(OSSL_LIB_CTX* in) : library(in) {}
  OSSL_LIB_CTX* library;
  HalfPtr half;
  RemoteKey* remote = nullptr;
};

struct Signing {
  const Key* key = nullptr;
  std::string digest;
};

Key& key_of(void* key) {
  return *static_cast<Key*>(key);
}

// The functions of provider-keymgmt(7), with the types that it prescribes.
void* new_key(void* library) {
  return new (std::nothrow) Key(static_cast<OSSL_LIB_CTX*>(library));
}

void free_key(void* key) {
  delete static_cast<Key*>(key);
}

int has(const void* key, int /*selection*/) {
  return static_cast<const Key*>(key)->half ? 1 : 0;
}

int match(const void* one, const void* other, int /*selection*/) {
  return EVP_PKEY_eq(static_cast<const Key*>(one)->half.get(), static_cast<const Key*>(other)->half.get()) == 1;
}

// type: a string literal of the algorithm's name.
int import_as(const char* type, void* key, const OSSL_PARAM params[]) {
  Key& self = key_of(key);
  if (const OSSL_PARAM* remote = OSSL_PARAM_locate_const(params, kRemoteParam)) {
    if (remote->data_size != sizeof self.remote) return 0;
    std::memcpy(&self.remote, remote->data, sizeof self.remote);
  }
  const HalfContextPtr context(EVP_PKEY_CTX_new_from_name(self.library, type, kDefaultOnly));
  EVP_PKEY* half = nullptr;
  if (!context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &half, EVP_PKEY_PUBLIC_KEY, const_cast<OSSL_PARAM*>(params)) != 1) {
    return 0;
  }
  self.half.reset(half);
  return 1;
}
int import_ec(void* key, int /*selection*/, const OSSL_PARAM params[]) {
  return import_as("EC", key, params);
}
int import_rsa(void* key, int /*selection*/, const OSSL_PARAM params[]) {
  return import_as("RSA", key, params);
}

const OSSL_PARAM* import_types(int /*selection*/) {
  static const OSSL_PARAM known[] = {OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, nullptr, 0),
                                     OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, nullptr, 0),
                                     OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, nullptr, 0),
                                     OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, nullptr, 0),
                                     OSSL_PARAM_octet_string(kRemoteParam, nullptr, 0),
                                     OSSL_PARAM_END};
  return known;
}

int get_key_params(void* key, OSSL_PARAM params[]) {
  return EVP_PKEY_get_params(key_of(key).half.get(), params);
}

const OSSL_PARAM* gettable_key_params(void* /*library*/) {
  static const OSSL_PARAM known[] = {OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, nullptr),
                                     OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, nullptr),
                                     OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, nullptr),
                                     OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, nullptr, 0),
                                     OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, nullptr, 0),
                                     OSSL_PARAM_END};
  return known;
}

const char* operation_name(int operation) {
  return operation == OSSL_OP_SIGNATURE ? kSignatureName : nullptr;
}

// The functions of provider-signature(7).
void* new_signing(void* /*library*/, const char* /*properties*/) {
  return new (std::nothrow) Signing;
}

void free_signing(void* signing) {
  delete static_cast<Signing*>(signing);
}

int begin_signing(void* signing, const char* digest, void* key, const OSSL_PARAM /*params*/[]) {
  auto& self = *static_cast<Signing*>(signing);
  if (key != nullptr) self.key = static_cast<const Key*>(key);
  self.digest = digest == nullptr ? "" : digest;
  return self.key != nullptr && self.key->remote != nullptr && self.key->remote->sign ? 1 : 0;
}

// The other process makes the text that is signed by itself, so what OpenSSL has made of it is not looked at.
int sign(void* signing, unsigned char* to, std::size_t* bytes, std::size_t room, const unsigned char* /*text*/,
         std::size_t /*text_bytes*/) {
  const auto& self = *static_cast<const Signing*>(signing);
  if (to == nullptr) {
    *bytes = static_cast<std::size_t>(EVP_PKEY_get_size(self.key->half.get()));
    return 1;
  }
  const std::string signature = self.key->remote->sign(self.digest);
  if (signature.empty() || signature.size() > room) return 0;
  std::memcpy(to, signature.data(), signature.size());
  *bytes = signature.size();
  return 1;
}

// TLS 1.3 leaves no choice of padding and salt.
int set_signing_params(void* /*signing*/, const OSSL_PARAM /*params*/[]) {
  return 1;
}

const OSSL_PARAM* settable_signing_params(void* /*signing*/, void* /*library*/) {
  static const OSSL_PARAM known[] = {OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, nullptr, 0),
                                     OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, nullptr, 0),
                                     OSSL_PARAM_END};
  return known;
}

template <typename F>
OSSL_DISPATCH function(int id, F* pointer) {
  return {id, reinterpret_cast<void (*)()>(pointer)};
}

template <auto Import>
const OSSL_DISPATCH* key_functions() {
  static const OSSL_DISPATCH functions[] = {
      function(OSSL_FUNC_KEYMGMT_NEW, new_key),
      function(OSSL_FUNC_KEYMGMT_FREE, free_key),
      function(OSSL_FUNC_KEYMGMT_HAS, has),
      function(OSSL_FUNC_KEYMGMT_MATCH, match),
      function(OSSL_FUNC_KEYMGMT_IMPORT, Import),
      function(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, import_types),
      function(OSSL_FUNC_KEYMGMT_GET_PARAMS, get_key_params),
      function(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, gettable_key_params),
      function(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, operation_name),
      {0, nullptr},
  };
  return functions;
}

const OSSL_ALGORITHM* offered(void* /*library*/, int operation, int* no_cache) {
  static const OSSL_DISPATCH signing[] = {
      function(OSSL_FUNC_SIGNATURE_NEWCTX, new_signing),
      function(OSSL_FUNC_SIGNATURE_FREECTX, free_signing),
      function(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, begin_signing),
      function(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, sign),
      function(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, set_signing_params),
      function(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, settable_signing_params),
      {0, nullptr},
  };
  static const OSSL_ALGORITHM keys[] = {
      {"EC:id-ecPublicKey:1.2.840.10045.2.1", kKeyProperties, key_functions<import_ec>(), "EC key of another process"},
      {"RSA:rsaEncryption:1.2.840.113549.1.1.1", kKeyProperties, key_functions<import_rsa>(),
       "RSA key of another process"},
      {nullptr, nullptr, nullptr, nullptr},
  };
  static const OSSL_ALGORITHM signatures[] = {
      {kSignatureName, "provider=crx-key", signing, "signature of another process"},
      {nullptr, nullptr, nullptr, nullptr},
  };
  *no_cache = 0;
  if (operation == OSSL_OP_KEYMGMT) return keys;
  return operation == OSSL_OP_SIGNATURE ? signatures : nullptr;
}

int start_key_provider(const OSSL_CORE_HANDLE* core, const OSSL_DISPATCH* from_core, const OSSL_DISPATCH** functions,
                       void** context) {
  static const OSSL_DISPATCH provided[] = {function(OSSL_FUNC_PROVIDER_QUERY_OPERATION, offered), {0, nullptr}};
  for (const OSSL_DISPATCH* entry = from_core; entry->function_id != 0; ++entry) {
    // For a built-in provider this is the library context (provider-base(7), core_get_libctx).
    if (entry->function_id == OSSL_FUNC_CORE_GET_LIBCTX) *context = OSSL_FUNC_core_get_libctx(entry)(core);
  }
  *functions = provided;
  return *context != nullptr ? 1 : 0;
}

}  // namespace

ossl_provider_st* add_remote_key_provider(ossl_lib_ctx_st* library) {
  return OSSL_PROVIDER_add_builtin(library, "crx-key", start_key_provider) == 1 ? OSSL_PROVIDER_load(library, "crx-key")
                                                                                : nullptr;
}

evp_pkey_st* make_remote_key(ossl_lib_ctx_st* library, const x509_st* cert, RemoteKey& remote) {
  const EVP_PKEY* half = X509_get0_pubkey(cert);
  const char* type = half == nullptr ? nullptr : EVP_PKEY_get0_type_name(half);
  if (type == nullptr) return nullptr;
  OSSL_PARAM* params = nullptr;
  if (EVP_PKEY_todata(half, EVP_PKEY_PUBLIC_KEY, &params) != 1) return nullptr;
  RemoteKey* address = &remote;
  OSSL_PARAM more[] = {OSSL_PARAM_octet_string(kRemoteParam, &address, sizeof address), OSSL_PARAM_END};
  OSSL_PARAM* all = OSSL_PARAM_merge(params, more);
  const HalfContextPtr context(EVP_PKEY_CTX_new_from_name(library, type, "crx.remote=yes"));
  EVP_PKEY* key = nullptr;
  if (all == nullptr || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEYPAIR, all) != 1) {
    key = nullptr;
  }
  OPENSSL_free(all);  // OSSL_PARAM_merge(3) makes a shallow copy
  OSSL_PARAM_free(params);
  return key;
}

}  // namespace crx::wire
