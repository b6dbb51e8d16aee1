#include "agent-src/recover/ask_destination.hpp"

namespace crx {

wire::SessionState ask_destination(const ResolveRequest& request, const SourceSession& session, Deadline deadline) {
  wire::ConnectOptions connect;
  connect.to = request.to.value_or(session.to);
  connect.tls_dir = request.tls_dir.empty() ? session.tls_dir : request.tls_dir;
  connect.tls_crl = session.tls_crl;
  connect.session = request.session;
  return wire::query_session(connect, deadline);
}

}  // namespace crx
