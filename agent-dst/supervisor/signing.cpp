// The supervisor's handling of the signer and of the keys of connections.
#include <csignal>
#include <span>
#include <utility>
#include <vector>

#include "agent-dst/ipc/packet.hpp"
#include "agent-dst/supervisor/supervisor.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "wire/connection/remote_key.hpp"
#include "wire/connection/tls_context.hpp"
#include "wire/connection/tls_files.hpp"

namespace crx::supervisor {
namespace {

constexpr int64_t kSignerRestartMs = 500;  // minimum time between two starts

// Reads all but the key.
ConnectionTls load_without_key(const wire::OpenTlsFiles& files) {
  ConnectionTls tls{std::make_shared<wire::RemoteKey>(), {}};
  tls.context = std::make_shared<wire::TlsContext>(wire::TlsRole::server, files, *tls.key);
  return tls;
}

}  // namespace

// Throws Error only if the agent cannot start.
void Supervisor::start_signer() {
  signer_start_ = Deadline::in_ms(kSignerRestartMs);
  signer_ready_ = false;
  events_.counters().signer_is_ready = 0;
  try {
    wire::OpenTlsFiles files = wire::open_tls_files(wire::TlsFiles(options_.tls_dir, options_.tls_crl));
    ConnectionTls tls = load_without_key(files);
    signer_ = fork_signer(options_, isolation_, std::move(files), ++last_keys_, mask_);
    tls_ = std::move(tls);
    keys_ = last_keys_;
    log::debug("the signer started (pid {})", signer_.pid);
  } catch (const Error& error) {
    if (!announced_) throw;
    log::error("the signer cannot start: {}", error.what());
  }
}

// New connections use new keys once the signer has them; connections that are open keep those with which they began.
void Supervisor::reread_keys() noexcept {
  try {
    const wire::OpenTlsFiles files = wire::open_tls_files(wire::TlsFiles(options_.tls_dir, options_.tls_crl));
    next_tls_ = load_without_key(files);
    ipc::SignerOrder order;
    order.kind = ipc::SignerOrder::Kind::keys;
    order.keys = ++last_keys_;
    std::vector<int> fds = {files.ca.get(), files.cert.get(), files.key.get()};
    if (files.crl) fds.push_back(files.crl.get());
    // A signer that starts reads them by itself.
    if (!signer_.link ||
        ipc::send_packet(signer_.link.get(), std::as_bytes(std::span(&order, 1)), {}, fds) != ipc::SendResult::sent)
      reloaded();
  } catch (const std::exception& error) {
    log::error("certificates and keys stay as they were: {}", error.what());
    reloaded();
  }
}

// Returns the end of a connection's process. Throws Error.
Fd Supervisor::link_to_signer(uint64_t connection) {
  auto [theirs, signers] = ipc::make_pair();
  ipc::SignerOrder order;
  order.keys = keys_;
  order.connection = connection;
  const int fd = signers.get();
  if (!signer_.link || ipc::send_packet(signer_.link.get(), std::as_bytes(std::span(&order, 1)), {},
                                        std::span(&fd, 1)) != ipc::SendResult::sent) {
    throw Error(ErrorCode::kernel, "serving a connection", "the signer cannot be reached");
  }
  return std::move(theirs);
}

void Supervisor::on_signer() {
  while (signer_.link) {
    ipc::SignerNotice notice;
    std::size_t bytes = 0;
    std::vector<Fd> fds;
    const auto result =
        ipc::receive_packet(signer_.link.get(), std::as_writable_bytes(std::span(&notice, 1)), bytes, fds);
    if (result == ipc::ReceiveResult::would_block) return;
    if (result == ipc::ReceiveResult::closed || bytes != sizeof notice) {
      // It has ended or sent something invalid; in both cases it is replaced once it has been reaped.
      (void)::kill(signer_.pid, SIGKILL);
      signer_.link.reset();
      return;
    }
    on_signer_notice(notice);
  }
}

void Supervisor::on_signer_notice(const ipc::SignerNotice& notice) {
  using Kind = ipc::SignerNotice::Kind;
  switch (notice.kind) {
    case Kind::ready:
      signer_ready_ = true;
      events_.counters().signer_is_ready = 1;
      ready();
      reloaded();
      break;
    case Kind::failed:
      if (!announced_) throw Error(ErrorCode::refused, "starting the signer", notice.text.get());
      log::error("the signer cannot start: {}", notice.text.get());
      break;
    case Kind::keys_loaded:
      if (notice.keys != last_keys_) break;  // newer ones are on their way
      tls_ = std::move(next_tls_);
      keys_ = notice.keys;
      log::info("new connections use the certificates and keys that are in {} now", options_.tls_dir);
      reloaded();
      break;
    case Kind::keys_refused:
      log::error("certificates and keys stay as they were: {}", notice.text.get());
      reloaded();
      break;
    case Kind::authenticated:
      for (auto& [pid, connection] : connections_) {
        if (connection.number != notice.connection || !connection.certificate.empty()) continue;
        connection.certificate = notice.certificate.get();
        connection.name = notice.peer.get();
        connection.names = notice.names.lines();
      }
      break;
    default:
      log::warn("the signer sent an unknown packet");
  }
}

}  // namespace crx::supervisor
