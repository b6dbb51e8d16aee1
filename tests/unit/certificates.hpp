// A private CA for tests: keys and certificates as crx-keys makes them, and faulty ones.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/unit/temp_dir.hpp"

namespace crx::test {

class TestCa {
 public:
  explicit TestCa(const std::string& name = "crx test CA") : key_(EVP_EC_gen("P-256")), cert_(X509_new()) {
    fill(cert_.get(), name, key_.get(), 0, 86400);
    extend(cert_.get(), NID_basic_constraints, "critical,CA:TRUE");
    X509_set_issuer_name(cert_.get(), X509_get_subject_name(cert_.get()));
    X509_sign(cert_.get(), key_.get(), EVP_sha256());
  }

  // Writes DIR/{ca,cert,key}.pem. alt: in OpenSSL's form of subjectAltName ("DNS:a,IP:127.0.0.1"); empty: none. Times
  // are in seconds from now. usage: the extended key usage; empty: none. key_usage: the same. key_kind: OpenSSL's name.
  void issue(const std::string& dir, const std::string& name, const std::string& alt, long from_s = -60,
             long to_s = 3600, const std::string& usage = "serverAuth,clientAuth",
             const std::string& key_usage = "critical,digitalSignature", const char* key_kind = "EC") const {
    std::filesystem::create_directories(dir);
    const bool ec = std::string(key_kind) == "EC";
    Key key(ec ? EVP_EC_gen("P-256") : EVP_PKEY_Q_keygen(nullptr, nullptr, key_kind));
    Cert cert(X509_new());
    fill(cert.get(), name, key.get(), from_s, to_s);
    if (!alt.empty()) extend(cert.get(), NID_subject_alt_name, alt);
    if (!usage.empty()) extend(cert.get(), NID_ext_key_usage, usage);
    if (!key_usage.empty()) extend(cert.get(), NID_key_usage, key_usage);
    X509_set_issuer_name(cert.get(), X509_get_subject_name(cert_.get()));
    X509_sign(cert.get(), key_.get(), EVP_sha256());
    write_ca(dir);
    File file(dir + "/cert.pem");
    PEM_write_X509(file.get(), cert.get());
    File secret(dir + "/key.pem");
    ::fchmod(::fileno(secret.get()), 0600);
    PEM_write_PrivateKey(secret.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  }
  // Writes a list of revoked certificates, which contains those of DIR for each of `revoked`.
  void write_list(const std::string& path, const std::vector<std::string>& revoked, long from_s = -60,
                  long to_s = 3600) const {
    std::unique_ptr<X509_CRL, Freer<X509_CRL_free>> list(X509_CRL_new());
    X509_CRL_set_version(list.get(), X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(cert_.get()));
    std::unique_ptr<ASN1_TIME, Freer<ASN1_STRING_free>> from(X509_gmtime_adj(nullptr, from_s));
    std::unique_ptr<ASN1_TIME, Freer<ASN1_STRING_free>> to(X509_gmtime_adj(nullptr, to_s));
    X509_CRL_set1_lastUpdate(list.get(), from.get());
    X509_CRL_set1_nextUpdate(list.get(), to.get());
    for (const std::string& dir : revoked) {
      FILE* file = std::fopen((dir + "/cert.pem").c_str(), "r");
      if (file == nullptr) throw std::runtime_error(dir);
      const Cert cert(PEM_read_X509(file, nullptr, nullptr, nullptr));
      std::fclose(file);
      X509_REVOKED* entry = X509_REVOKED_new();
      X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(cert.get()));
      X509_REVOKED_set_revocationDate(entry, from.get());
      X509_CRL_add0_revoked(list.get(), entry);
    }
    X509_CRL_sign(list.get(), key_.get(), EVP_sha256());
    File file(path);
    PEM_write_X509_CRL(file.get(), list.get());
  }
  void write_ca(const std::string& dir) const {
    File file(dir + "/ca.pem");
    PEM_write_X509(file.get(), cert_.get());
  }

 private:
  template <auto Free>
  struct Freer {
    template <typename T>
    void operator()(T* object) const {
      Free(object);
    }
  };
  using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
  using Cert = std::unique_ptr<X509, Freer<X509_free>>;

  class File {
   public:
    explicit File(const std::string& path) : file_(std::fopen(path.c_str(), "w")) {
      if (file_ == nullptr) throw std::runtime_error(path);
    }
    ~File() { std::fclose(file_); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    FILE* get() const { return file_; }

   private:
    FILE* file_;
  };

  static void fill(X509* cert, const std::string& name, EVP_PKEY* key, long from_s, long to_s) {
    static long serial = 1000;
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(cert), from_s);
    X509_gmtime_adj(X509_getm_notAfter(cert), to_s);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  }
  static void extend(X509* cert, int nid, const std::string& value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
    if (extension == nullptr) throw std::runtime_error("extension " + value);
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
  }

  Key key_;
  Cert cert_;
};

}  // namespace crx::test
