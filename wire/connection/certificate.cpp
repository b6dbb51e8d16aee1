#include "wire/connection/certificate.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "wire/connection/tls_context.hpp"

namespace crx::wire {
namespace {

bool is_visible(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

std::string name_text(const GENERAL_NAME* name) {
  if (name->type == GEN_DNS) {
    const ASN1_STRING* text = name->d.dNSName;
    return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
            static_cast<std::size_t>(ASN1_STRING_length(text))};
  }
  if (name->type != GEN_IPADD) return {};
  const ASN1_OCTET_STRING* ip = name->d.iPAddress;
  char text[INET6_ADDRSTRLEN] = {};
  const int family = ASN1_STRING_length(ip) == 4 ? AF_INET : AF_INET6;
  if (family == AF_INET6 && ASN1_STRING_length(ip) != 16) return {};
  return ::inet_ntop(family, ASN1_STRING_get0_data(ip), text, sizeof text) == nullptr ? std::string() : text;
}

// OpenSSL takes a certificate without the extension for one that may be used for everything.
bool may_be_used_for(const X509* cert, int purpose) {
  auto* uses = static_cast<EXTENDED_KEY_USAGE*>(X509_get_ext_d2i(cert, NID_ext_key_usage, nullptr, nullptr));
  bool found = false;
  for (int i = 0; uses != nullptr && i < sk_ASN1_OBJECT_num(uses); ++i)
    found = found || OBJ_obj2nid(sk_ASN1_OBJECT_value(uses, i)) == purpose;
  EXTENDED_KEY_USAGE_free(uses);
  return found;
}

}  // namespace

std::vector<std::string> certificate_names(const X509* cert) {
  std::vector<std::string> names;
  auto* alt = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(cert, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; alt != nullptr && i < sk_GENERAL_NAME_num(alt); ++i) {
    std::string name = name_text(sk_GENERAL_NAME_value(alt, i));
    if (name.empty() || !is_visible(name)) continue;
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
  }
  GENERAL_NAMES_free(alt);
  return names;
}

std::string joined_names(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out.empty() ? "no name" : out;
}

std::string certificate_time(const ASN1_TIME* time) {
  tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return "an unreadable date";
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02} UTC", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min);
}

const char* certificate_fault(const X509* cert, TlsRole holder) {
  if (certificate_names(cert).empty()) return "it has no subjectAltName";
  if (holder == TlsRole::server && !may_be_used_for(cert, NID_server_auth))
    return "its extendedKeyUsage does not contain serverAuth";
  if (holder == TlsRole::client && !may_be_used_for(cert, NID_client_auth))
    return "its extendedKeyUsage does not contain clientAuth";
  return nullptr;
}

// OpenSSL says of a certificate without the extension that it has all bits.
const char* signer_fault(X509* cert) {
  if (const char* fault = certificate_fault(cert, TlsRole::client)) return fault;
  const bool says = X509_get_ext_by_NID(cert, NID_key_usage, -1) >= 0;
  if (!says || (X509_get_key_usage(cert) & KU_DIGITAL_SIGNATURE) == 0)
    return "its keyUsage does not contain digitalSignature";
  return nullptr;
}

}  // namespace crx::wire
