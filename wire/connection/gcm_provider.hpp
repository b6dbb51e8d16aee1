// AES-128-GCM for OpenSSL from Intel's multi-buffer library, which has it for the vector units of recent CPUs.
//
// OpenSSL has such code from 3.1 on; the 3.0 of Debian 12 seals 5 GB/s where this seals 11 to 15 on the same
// core, and sealing and opening are the largest part of what moving a page costs.
#pragma once

struct ossl_lib_ctx_st;

namespace crx::wire {

// What to ask of OpenSSL so that it takes ours where there is one and its own for everything else.
inline constexpr char kGcmFirst[] = "?provider=crx-gcm";

// Adds the provider to a library context of one's own, beside "default". False, with nothing changed, when this
// CPU lacks VAES, VPCLMULQDQ or AVX-512: OpenSSL's own code is as good there.
// Interface: provider-cipher(7), OSSL_PROVIDER_add_builtin(3).
bool add_gcm_provider(ossl_lib_ctx_st* library);

}  // namespace crx::wire
