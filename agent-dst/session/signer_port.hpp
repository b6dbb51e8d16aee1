// The connection of a session process to the signer, which has the private key.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "agent-dst/ipc/signer_packets.hpp"
#include "common/base/fd.hpp"

namespace crx::session {

// Both calls wait for the answer; there is nothing else to do before it has come.
class SignerPort {
 public:
  explicit SignerPort(Fd link) : link_(std::move(link)) {}

  // messages: from the client's hello to the server's certificate. suite: the cipher suite. digest: OpenSSL's name of
  // the digest that is signed. Returns the signature; empty, with a line in the log, if the signer gives none.
  std::string sign(std::string_view messages, uint16_t suite, std::string_view digest) noexcept;
  // messages: those that followed. When this returns, the supervisor knows who the peer is. Throws Error(peer) if the
  // signer does not accept the peer.
  void vouch(std::string_view messages);

 private:
  // Returns the body of the answer; throws Error.
  std::string exchange(ipc::SignerHeader header, std::string_view messages);

  Fd link_;
};

}  // namespace crx::session
