// AES-128-GCM for OpenSSL, implemented with Intel's multi-buffer library, which uses the vector units of recent CPUs.
//
// OpenSSL itself has such code from 3.1 on. Measured: OpenSSL 3.0 of Debian 12 encrypts 5 GB/s where this encrypts 11
// to 15 on the same core, and encryption and decryption are the largest part of the cost of moving a page.
#pragma once

struct ossl_lib_ctx_st;
struct ossl_provider_st;

namespace crx::wire {

// A property query with which OpenSSL uses this provider where it has an algorithm, and its own code for everything
// else; keys of remote_key.hpp must be asked for.
inline constexpr char kGcmFirst[] = "?provider=crx-gcm,?crx.remote!=yes";

// Adds the provider to a separate library context, beside "default", and returns it: the caller has to unload it before
// it frees the context (OSSL_PROVIDER_unload(3)). Returns nullptr and changes nothing when this CPU lacks VAES,
// VPCLMULQDQ or AVX-512, since OpenSSL's own code is equally good there. Interface: provider-cipher(7),
// OSSL_PROVIDER_add_builtin(3).
ossl_provider_st* add_gcm_provider(ossl_lib_ctx_st* library);

}  // namespace crx::wire
