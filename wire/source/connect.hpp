// Connects the source to a destination agent. No Asio and no OpenSSL types here: they stay inside wire/*.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/base/clock.hpp"
#include "common/base/endpoint.hpp"
#include "wire/link.hpp"

namespace crx::wire {

using crx::Endpoint;  // common/base/endpoint.hpp; session ids: common/base/journal.hpp

struct ConnectOptions {
  Endpoint to;
  std::string tls_dir;            // holds ca.pem, cert.pem, key.pem
  std::string tls_crl;            // list of revoked certificates; empty: tls_dir/crl.pem, if that exists
  std::string session;            // make_session_id()
  unsigned streams = 0;           // data connections; 0: chosen by the number of cores of this host
  std::string compress = "auto";  // none | zstd[:LEVEL] | auto
  uint64_t max_bandwidth = 0;     // bytes per second of page data on the wire; 0: unlimited
  // number of kBatchBytes buffers, which bounds the data in flight; 0: chosen by the number of cores of this host
  unsigned buffers = 0;
  int64_t connect_timeout_ms = 10'000;  // per connection: resolve, connect, TLS, first answer
  int64_t silence_timeout_ms = 15'000;  // a peer that sends nothing for so long (not even a ping) is lost
};

// Connects the control stream, authenticates both sides and measures the round trip. The data connections follow
// automatically once the destination has answered Hello with Welcome. The first message that the caller sends must be
// Hello; the link fills in its `session`, `streams` and `protocol`. Throws Error(peer) or Error(refused) with the
// reason and the remedy: unreachable, another CA, expired, wrong name, not a crx-agent, unreadable key files. The
// destructor flushes queued messages (for at most two seconds) and closes.
std::unique_ptr<SourceLink> connect_source(const ConnectOptions& options);

// Asks the agent for the outcome of options.session, on a separate connection. Used after GO when the connection was
// lost. Throws Error(peer) when there is no answer by the deadline.
SessionState query_session(const ConnectOptions& options, Deadline deadline);

}  // namespace crx::wire
