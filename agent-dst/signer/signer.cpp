#include "agent-dst/signer/signer.hpp"

#include <poll.h>

#include <csignal>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "agent-dst/ipc/signer_packets.hpp"
#include "agent-dst/sandbox/sandbox.hpp"
#include "agent-dst/signer/transcript.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"

namespace crx::signer {
namespace {

using ipc::SignerHeader;
using ipc::SignerNotice;
using ipc::SignerOrder;
using Keys = std::shared_ptr<const wire::TlsContext>;

class Signer {
 public:
  // keys: with the number options.keys.
  Signer(SignerOptions& options, Keys keys)
      : supervisor_(std::move(options.supervisor)), packet_(ipc::kMaxPacketBytes), names_(options.files.names) {
    keys_[options.keys] = std::move(keys);
  }

  // Returns when the supervisor has ended.
  void run() {
    SignerNotice ready;
    tell(ready);
    while (serve_once()) {
    }
  }

 private:
  struct Link {
    uint64_t connection;
    Fd socket;
    Transcript transcript;
  };

  bool serve_once() {
    std::vector<pollfd> waiting = {{supervisor_.get(), POLLIN, 0}};
    for (const Link& link : links_) waiting.push_back({link.socket.get(), POLLIN, 0});
    if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) return false;
    for (std::size_t i = links_.size(); i > 0; --i) {
      if (waiting[i].revents != 0 && !on_link(links_[i - 1]))
        links_.erase(links_.begin() + static_cast<std::ptrdiff_t>(i - 1));
    }
    return waiting[0].revents == 0 || on_supervisor();
  }

  bool on_supervisor() {
    for (;;) {
      SignerOrder order;
      std::vector<Fd> fds;
      std::size_t bytes = 0;
      const auto result =
          ipc::receive_packet(supervisor_.get(), std::as_writable_bytes(std::span(&order, 1)), bytes, fds);
      if (result == ipc::ReceiveResult::would_block) return true;
      if (result == ipc::ReceiveResult::closed || bytes != sizeof order) return false;
      if (order.kind == SignerOrder::Kind::keys) take_keys(order.keys, std::move(fds));
      if (order.kind == SignerOrder::Kind::link && fds.size() == 1) take_link(order, std::move(fds[0]));
    }
  }

  void take_link(const SignerOrder& order, Fd socket) {
    const auto keys = keys_.find(order.keys);
    if (keys == keys_.end()) return;  // the process sees the end of its link
    links_.push_back({order.connection, std::move(socket), Transcript(keys->second)});
    keys_.erase(keys_.begin(), keys);  // older keys are used by no new connection
  }

  void take_keys(uint32_t number, std::vector<Fd> fds) {
    SignerNotice notice;
    notice.kind = SignerNotice::Kind::keys_loaded;
    notice.keys = number;
    try {
      if (fds.size() < 3) throw Error(ErrorCode::bug, "taking keys", "the supervisor sent too few files");
      wire::OpenTlsFiles files{names_, std::move(fds[0]), std::move(fds[1]), std::move(fds[2]), {}};
      if (fds.size() > 3) files.crl = std::move(fds[3]);
      keys_[number] = std::make_shared<wire::TlsContext>(wire::TlsRole::server, files);
    } catch (const Error& error) {
      notice.kind = SignerNotice::Kind::keys_refused;
      notice.text.set(error.what());
    }
    tell(notice);
  }

  // False when the link is of no use any more.
  bool on_link(Link& link) {
    std::vector<Fd> none;
    std::size_t bytes = 0;
    const auto result = ipc::receive_packet(link.socket.get(), packet_, bytes, none);
    if (result == ipc::ReceiveResult::would_block) return true;
    SignerHeader header;
    if (result == ipc::ReceiveResult::closed || bytes < sizeof header) return false;
    std::memcpy(&header, packet_.data(), sizeof header);
    const std::string_view messages(reinterpret_cast<const char*>(packet_.data()) + sizeof header,
                                    bytes - sizeof header);
    std::string text;
    bool accepted = true;
    try {
      if (header.kind == SignerHeader::Kind::sign)
        text = link.transcript.sign(messages, header.suite, header.digest);
      else
        vouch(link, messages);
    } catch (const Error& error) {
      accepted = false;
      text = error.what();
    }
    const bool goes_on = accepted && header.kind == SignerHeader::Kind::sign;
    header.kind = accepted ? SignerHeader::Kind::done : SignerHeader::Kind::refused;
    const auto sent = ipc::send_packet(link.socket.get(), std::as_bytes(std::span(&header, 1)),
                                       std::as_bytes(std::span(text.data(), text.size())));
    return goes_on && sent == ipc::SendResult::sent;
  }

  // The supervisor hears of it first, so that it knows the peer when the process asks for something.
  void vouch(Link& link, std::string_view messages) {
    const wire::PeerIdentity who = link.transcript.authenticate(messages);
    SignerNotice notice;
    notice.kind = SignerNotice::Kind::authenticated;
    notice.connection = link.connection;
    notice.certificate.set(who.fingerprint);
    notice.peer.set(who.name);
    notice.names.set_lines(who.names);
    tell(notice);
  }

  // Waits while the supervisor is busy; without it there is nothing to serve.
  void tell(const SignerNotice& notice) const {
    while (ipc::send_packet(supervisor_.get(), std::as_bytes(std::span(&notice, 1))) == ipc::SendResult::would_block) {
      pollfd room{supervisor_.get(), POLLOUT, 0};
      (void)::poll(&room, 1, -1);
    }
  }

  Fd supervisor_;
  std::vector<std::byte> packet_;
  wire::TlsFiles names_;
  std::map<uint32_t, Keys> keys_;  // by their number
  std::vector<Link> links_;
};

}  // namespace

int run_signer(SignerOptions options) {
  const int supervisor = options.supervisor.get();
  ::signal(SIGPIPE, SIG_IGN);
  try {
    close_all_but({supervisor, options.files.ca.get(), options.files.cert.get(), options.files.key.get(),
                   options.files.crl.get()});
    Signer signer(options, std::make_shared<wire::TlsContext>(wire::TlsRole::server, options.files));
    options.files = wire::OpenTlsFiles{options.files.names, {}, {}, {}, {}};
    enter_sandbox(Sandbox::signer);
    signer.run();
    return 0;
  } catch (const Error& error) {
    SignerNotice failed;
    failed.kind = SignerNotice::Kind::failed;
    failed.text.set(error.what());
    (void)ipc::send_packet(supervisor, std::as_bytes(std::span(&failed, 1)));
    return 1;
  }
}

}  // namespace crx::signer
