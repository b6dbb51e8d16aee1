#include "wire/connection/tls_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "common/base/c_ptr.hpp"
#include "common/base/error.hpp"
#include "wire/connection/gcm_provider.hpp"
#include "wire/connection/remote_key.hpp"
#include "wire/connection/tls_errors.hpp"

namespace crx::wire {
namespace {

constexpr char kTlsFilesStep[] = "loading TLS keys";
constexpr char kCopyKeys[] = "make keys with crx-keys and copy this host's files there";
constexpr std::size_t kMaxPemBytes = 16 << 20;

using CertPtr = CPtr<X509, X509_free>;
using CrlPtr = CPtr<X509_CRL, X509_CRL_free>;
using KeyPtr = CPtr<EVP_PKEY, EVP_PKEY_free>;

Error faulty(std::string reason) {
  return Error(ErrorCode::refused, kTlsFilesStep, std::move(reason)).with_hint(kCopyKeys);
}

Error faulty_list(std::string reason) {
  return Error(ErrorCode::refused, kTlsFilesStep, std::move(reason))
      .with_hint("make the list with crx-keys --revoke or openssl ca -gencrl");
}

// A list that was not named need not be there.
Fd open_list(const TlsFiles& names) {
  Fd fd = try_open(names.crl, O_RDONLY);
  if (!fd && (names.crl_required || errno != ENOENT)) {
    throw Error(ErrorCode::refused, kTlsFilesStep, names.crl, errno)
        .with_hint("put the authority's list of revoked certificates there");
  }
  return fd;
}

Fd open_pem(const std::string& path) {
  Fd fd = try_open(path, O_RDONLY);
  if (!fd) throw Error(ErrorCode::refused, kTlsFilesStep, path, errno).with_hint(kCopyKeys);
  return fd;
}

// The text of a PEM file as a memory BIO; wiped at the end, since it may be a key.
class PemText {
 public:
  PemText(const Fd& fd, const std::string& path)
      : text_(read_fd(fd.get(), path, kMaxPemBytes)),
        bio_(BIO_new_mem_buf(text_.data(), static_cast<int>(text_.size()))) {
    ERR_clear_error();
  }
  ~PemText() {
    ERR_clear_error();  // the end of a file with several certificates is an entry of the queue
    BIO_free(bio_);
    OPENSSL_cleanse(text_.data(), text_.size());
  }
  PemText(const PemText&) = delete;
  PemText& operator=(const PemText&) = delete;
  BIO* bio() const { return bio_; }

 private:
  std::string text_;
  BIO* bio_;
};

// The next certificate of the text; empty at its end, and where the rest is damaged.
CertPtr next_certificate(const PemText& pem, ossl_lib_ctx_st* library) {
  X509* cert = X509_new_ex(library, kGcmFirst);
  if (PEM_read_bio_X509(pem.bio(), &cert, nullptr, nullptr) == nullptr) {
    X509_free(cert);
    return {};
  }
  return CertPtr(cert);
}

CrlPtr next_list(const PemText& pem, ossl_lib_ctx_st* library) {
  X509_CRL* crl = X509_CRL_new_ex(library, kGcmFirst);
  if (PEM_read_bio_X509_CRL(pem.bio(), &crl, nullptr, nullptr) == nullptr) {
    X509_CRL_free(crl);
    return {};
  }
  return CrlPtr(crl);
}

// Whether the text has been read to its end: what the error queue says then is not an error.
bool at_end() {
  return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
}

void load_authority(const OpenTlsFiles& files, X509_STORE* store, ossl_lib_ctx_st* library) {
  const PemText pem(files.ca, files.names.ca);
  unsigned count = 0;
  for (CertPtr cert; (cert = next_certificate(pem, library)); ++count) {
    if (X509_STORE_add_cert(store, cert.get()) != 1) throw faulty(files.names.ca);
  }
  if (!at_end() || count == 0) throw faulty(files.names.ca + " contains no certificate: " + tls_queue_text());
}

void load_chain(const OpenTlsFiles& files, SSL_CTX* ctx, ossl_lib_ctx_st* library) {
  const PemText pem(files.cert, files.names.cert);
  const CertPtr own = next_certificate(pem, library);
  bool loaded = own && SSL_CTX_use_certificate(ctx, own.get()) == 1;
  for (CertPtr cert; loaded && (cert = next_certificate(pem, library));)
    loaded = SSL_CTX_add1_chain_cert(ctx, cert.get()) == 1;
  if (!loaded || !at_end()) throw faulty(files.names.cert + " contains no certificate: " + tls_queue_text());
}

void load_key(const OpenTlsFiles& files, SSL_CTX* ctx, ossl_lib_ctx_st* library) {
  const PemText pem(files.key, files.names.key);
  const KeyPtr key(PEM_read_bio_PrivateKey_ex(pem.bio(), nullptr, nullptr, nullptr, library, kGcmFirst));
  if (key && SSL_CTX_use_PrivateKey(ctx, key.get()) == 1 && SSL_CTX_check_private_key(ctx) == 1) return;
  throw faulty(files.names.key + " is not the key of " + files.names.cert + ": " + tls_queue_text());
}

// A key that signs the same text in the same way twice (EdDSA) is not taken: the signer's word would not be fresh
// (agent-dst/signer).
void use_remote_key(const OpenTlsFiles& files, SSL_CTX* ctx, ossl_lib_ctx_st* library, RemoteKey& remote) {
  const KeyPtr key(make_remote_key(library, SSL_CTX_get0_certificate(ctx), remote));
  if (key && SSL_CTX_use_PrivateKey(ctx, key.get()) == 1) return;
  ERR_clear_error();
  throw Error(ErrorCode::refused, kTlsFilesStep, "the key of " + files.names.cert + " is neither an EC nor an RSA key")
      .with_hint("issue a new certificate for this host with crx-keys");
}

void load_revocations(const OpenTlsFiles& files, X509_STORE* store, ossl_lib_ctx_st* library) {
  if (!files.crl) return;
  const PemText pem(files.crl, files.names.crl);
  unsigned count = 0;
  for (CrlPtr crl; (crl = next_list(pem, library)); ++count) {
    if (X509_STORE_add_crl(store, crl.get()) != 1) throw faulty_list(files.names.crl);
  }
  if (!at_end() || count == 0) {
    throw faulty_list(files.names.crl + " contains no list of revoked certificates: " + tls_queue_text());
  }
  X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
}

// A key that others can read is everybody's key. ssh(1) refuses such keys as well.
void check_private(const Fd& fd, const std::string& path) {
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) throw_errno(kTlsFilesStep, path);
  if ((info.st_mode & 077) == 0) return;
  throw Error(ErrorCode::refused, kTlsFilesStep,
              fmt::format("{} is accessible to its group or to all users (mode {:04o})", path, info.st_mode & 07777))
      .with_hint("chmod 600 " + path);
}

}  // namespace

TlsFiles::TlsFiles(std::string directory, std::string revocations)
    : dir(std::move(directory)),
      ca(dir + "/ca.pem"),
      cert(dir + "/cert.pem"),
      key(dir + "/key.pem"),
      crl(revocations.empty() ? dir + "/crl.pem" : std::move(revocations)),
      crl_required(crl != dir + "/crl.pem") {}

OpenTlsFiles open_tls_files(TlsFiles names) {
  Fd ca = open_pem(names.ca);
  Fd cert = open_pem(names.cert);
  Fd key = open_pem(names.key);
  check_private(key, names.key);
  Fd crl = open_list(names);
  return {std::move(names), std::move(ca), std::move(cert), std::move(key), std::move(crl)};
}

OpenTlsFiles open_trust_files(TlsFiles names) {
  Fd ca = open_pem(names.ca);
  Fd crl = open_list(names);
  return {std::move(names), std::move(ca), {}, {}, std::move(crl)};
}

void load_trust(const OpenTlsFiles& files, X509_STORE* store, OSSL_LIB_CTX* library) {
  load_authority(files, store, library);
  load_revocations(files, store, library);
}

void load_tls_files(const OpenTlsFiles& files, SSL_CTX* ctx, OSSL_LIB_CTX* library, RemoteKey* remote) {
  X509_STORE* store = SSL_CTX_get_cert_store(ctx);
  load_authority(files, store, library);
  load_chain(files, ctx, library);
  if (remote == nullptr)
    load_key(files, ctx, library);
  else
    use_remote_key(files, ctx, library, *remote);
  load_revocations(files, store, library);
}

}  // namespace crx::wire
