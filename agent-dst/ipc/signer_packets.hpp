// The packets that the signer exchanges with the supervisor and with the processes of connections.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "agent-dst/ipc/packet.hpp"
#include "agent-dst/ipc/supervisor_packets.hpp"

namespace crx::ipc {

// From the supervisor to the signer.
struct SignerOrder {
  enum class Kind : uint32_t {
    link = 1,  // a new connection: its number, the keys that it uses, and a socket of its process as a descriptor
    keys,      // new keys with this number: descriptors of ca, cert, key and, if there is one, crl
  };
  Kind kind = Kind::link;
  uint32_t keys = 0;
  uint64_t connection = 0;
};

// From the signer to the supervisor.
struct SignerNotice {
  enum class Kind : uint32_t {
    ready = 1,     // it has read the keys with which it was started
    failed,        // it could not: text
    keys_loaded,   // answer to keys
    keys_refused,  // answer to keys: text
    // the peer of `connection` has proved that it holds the key of a certificate of the authority: certificate, peer,
    // names. The process of the connection is told afterwards.
    authenticated,
  };
  Kind kind = Kind::ready;
  uint32_t keys = 0;
  uint64_t connection = 0;
  Text<72> certificate;  // SHA-256, hex
  Text<400> peer;        // the first of `names`
  Text<4096> names;      // of the certificate, one a line
  Text<2048> text;
};

// Between the process of a connection and the signer; the header of a packet, which the bytes of handshake messages
// (RFC 8446, 4), a signature, or the text of an error follow. A link takes one `sign` and then one `vouch`, each
// answered by `done` or `refused`.
struct SignerHeader {
  enum class Kind : uint16_t {
    sign = 1,  // all messages from the client's hello to the server's certificate; the answer has the signature
    vouch,     // all messages after them, to the client's CertificateVerify at least
    done,
    refused,
  };
  Kind kind = Kind::sign;
  uint16_t suite = 0;   // sign: the cipher suite, whose hash is that of the transcript
  uint16_t digest = 0;  // sign: bits of the digest that is signed: 256, 384 or 512
};

inline constexpr std::size_t kMaxHandshakeBytes = kMaxPacketBytes - sizeof(SignerHeader);

static_assert(std::is_trivially_copyable_v<SignerOrder> && std::is_trivially_copyable_v<SignerNotice> &&
              std::is_trivially_copyable_v<SignerHeader>);

}  // namespace crx::ipc
