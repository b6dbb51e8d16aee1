// Reads from a certificate, and checks of it beyond OpenSSL's own. RFC 5280.
#pragma once

#include <string>
#include <vector>

struct x509_st;
struct asn1_string_st;

namespace crx::wire {

enum class TlsRole;  // tls_context.hpp

// The host names and IP addresses in the subjectAltName. The common name is not among them: only names that the
// authority has put there as names of the host count (RFC 6125, 6.4.4). Entries with characters other than visible
// ASCII are left out, so the names can be printed.
std::vector<std::string> certificate_names(const x509_st* cert);

// "a, b", or "no name".
std::string joined_names(const std::vector<std::string>& names);

// The time as "2030-01-31 12:00 UTC".
std::string certificate_time(const asn1_string_st* time);

// The reason why no peer accepts this certificate from a host in this role; nullptr where there is none. Dates, issuer
// and the name that is asked for are not looked at, since OpenSSL checks them.
const char* certificate_fault(const x509_st* cert, TlsRole holder);

// The reason why no signature of this certificate's key counts; nullptr where there is none. The rules are those for a
// client, and the certificate must have keyUsage digitalSignature.
const char* signer_fault(x509_st* cert);

}  // namespace crx::wire
