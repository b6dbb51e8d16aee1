// A TLS server that is no crx-agent: blocking OpenSSL on a socket, in a process of its own.
#pragma once

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>
#include <string>

namespace crx::test {

// Accepts one connection, makes the handshake without ALPN and reads until the peer closes.
class RawServer {
 public:
  // dir: holds cert.pem and key.pem.
  explicit RawServer(const std::string& dir) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof at;
    if (::bind(fd_, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 || ::listen(fd_, 4) != 0 ||
        ::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &length) != 0) {
      throw std::runtime_error("listening");
    }
    port_ = ntohs(at.sin_port);
    pid_ = ::fork();
    if (pid_ == 0) serve(dir);
  }
  ~RawServer() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    ::close(fd_);
  }
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;

  uint16_t port() const { return port_; }

 private:
  [[noreturn]] void serve(const std::string& dir) const {
    SSL_CTX* ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate_chain_file(ctx, (dir + "/cert.pem").c_str());
    SSL_CTX_use_PrivateKey_file(ctx, (dir + "/key.pem").c_str(), SSL_FILETYPE_PEM);
    SSL* ssl = SSL_new(ctx);
    SSL_set_fd(ssl, ::accept(fd_, nullptr, nullptr));
    char byte = 0;
    if (SSL_accept(ssl) == 1) {
      while (SSL_read(ssl, &byte, 1) > 0) {
      }
    }
    ::_exit(0);
  }

  int fd_ = -1;
  uint16_t port_ = 0;
  pid_t pid_ = -1;
};

}  // namespace crx::test
