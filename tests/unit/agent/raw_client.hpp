// A client that can send any bytes, without the connections of wire/: blocking OpenSSL on a socket.
#pragma once

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <optional>
#include <string>

#include "wire/connection/data_key.hpp"
#include "wire/frame.hpp"
#include "wire/limits.hpp"

namespace crx::test {

class RawClient {
 public:
  // dir: holds cert.pem and key.pem; empty: no certificate.
  RawClient(uint16_t port, const std::string& dir, const char* alpn = wire::kAlpn, int version = TLS1_3_VERSION) {
    ::signal(SIGPIPE, SIG_IGN);  // the agent may close the connection at any time
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
    const timeval limit{20, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ctx_ = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(ctx_, version);
    if (!dir.empty()) {
      SSL_CTX_use_certificate_chain_file(ctx_, (dir + "/cert.pem").c_str());
      SSL_CTX_use_PrivateKey_file(ctx_, (dir + "/key.pem").c_str(), SSL_FILETYPE_PEM);
    }
    ssl_ = SSL_new(ctx_);
    std::string offer(1, static_cast<char>(std::string(alpn).size()));
    offer += alpn;
    SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(offer.data()),
                        static_cast<unsigned>(offer.size()));
    SSL_set_fd(ssl_, fd_);
  }
  ~RawClient() {
    SSL_free(ssl_);
    SSL_CTX_free(ctx_);
    ::close(fd_);
  }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  int fd() const { return fd_; }
  bool connected() const { return connected_; }
  bool handshake() { return SSL_connect(ssl_) == 1; }
  // The key of data connections, after the handshake.
  wire::DataKey data_key() { return wire::derive_data_key(ssl_); }
  // Before the handshake: makes this a data connection, with the preamble only, or with the key as well.
  void begin_data(const wire::DataKey& key, bool with_key = true) {
    const std::string preamble = wire::data_preamble(key.token);
    (void)!::send(fd_, preamble.data(), preamble.size(), MSG_NOSIGNAL);
    data_key_ = key;
    if (with_key) wire::use_data_key(ssl_, data_key_);
  }
  bool send(const std::string& bytes) { return SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())) > 0; }
  bool send(const wire::SessionMessage& message) {
    return send(wire::frame(wire::FrameType::message, message.SerializeAsString()));
  }
  // Returns the next frame's type and payload; nothing if the connection has ended.
  std::optional<std::pair<wire::FrameType, std::string>> receive() {
    const std::string head = read(wire::kFrameHeaderBytes);
    if (head.size() != wire::kFrameHeaderBytes) return std::nullopt;
    const auto header = wire::parse_frame_header(
        std::as_bytes(std::span<const char, wire::kFrameHeaderBytes>(head.data(), wire::kFrameHeaderBytes)));
    return std::pair(header.type, read(header.length));
  }
  // Returns the next message that is not a ping.
  std::optional<wire::SessionMessage> receive_message() {
    for (;;) {
      const auto got = receive();
      if (!got) return std::nullopt;
      if (got->first != wire::FrameType::message) continue;
      wire::SessionMessage message;
      if (!message.ParseFromString(got->second)) return std::nullopt;
      return message;
    }
  }
  // Reads until the connection ends; returns the reason of the alert that ended it, else "none".
  std::string alert() {
    char byte = 0;
    ERR_clear_error();
    while (SSL_read(ssl_, &byte, 1) > 0) {
    }
    const char* reason = ERR_reason_error_string(ERR_peek_error());
    return reason == nullptr ? "none" : reason;
  }
  // Whether the peer closes (or cuts) the connection within the time limit.
  bool ended() {
    char byte = 0;
    for (;;) {
      const int rc = SSL_read(ssl_, &byte, 1);
      if (rc > 0) continue;
      pollfd gone{fd_, POLLIN, 0};
      return SSL_get_error(ssl_, rc) != SSL_ERROR_SYSCALL || ::poll(&gone, 1, 0) == 1;
    }
  }

 private:
  std::string read(std::size_t bytes) {
    std::string text(bytes, '\0');
    std::size_t at = 0;
    while (at < bytes) {
      const int rc = SSL_read(ssl_, text.data() + at, static_cast<int>(bytes - at));
      if (rc <= 0) return text.substr(0, at);
      at += static_cast<std::size_t>(rc);
    }
    return text;
  }

  int fd_ = -1;
  bool connected_ = false;
  wire::DataKey data_key_;
  SSL_CTX* ctx_ = nullptr;
  SSL* ssl_ = nullptr;
};

}  // namespace crx::test
