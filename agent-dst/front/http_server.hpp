// A web server of a few fixed pages, for whoever reaches its port. Includes Asio: for .cpp files of the front only.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace crx::front {

struct HttpPage {
  std::string type;  // of its content, as MIME names it
  std::string body;
};

// GET and HEAD, one request on each connection. A request may have 8 KiB and 5 s from the connection on, and 16
// connections are served at a time: others wait in the kernel's queue. All calls on the front's one thread.
class HttpServer {
 public:
  // page: what stands at a path ("/metrics"); nothing where there is none. The server outlives `io`'s run.
  using Pages = std::function<std::optional<HttpPage>(std::string_view path)>;
  HttpServer(asio::io_context& io, asio::ip::tcp::acceptor acceptor, Pages pages);

  void start();
  // No new connections.
  void stop() noexcept;

 private:
  struct Connection;
  asio::awaitable<void> accept_all();
  asio::awaitable<void> serve(std::shared_ptr<Connection> connection);
  std::string answer(const Connection& connection, bool understood) const;

  asio::io_context& io_;
  asio::ip::tcp::acceptor acceptor_;
  Pages pages_;
  asio::steady_timer fewer_;  // never expires: cancelled when a connection has ended
  int open_ = 0;
};

}  // namespace crx::front
