// A web server for a few fixed pages, open to anyone who reaches its port. Includes Asio: only .cpp files of the front
// include this header.
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
  std::string type;  // MIME type of the content
  std::string body;
  unsigned status = 200;
};

// Serves GET and HEAD, one request per connection. A request is limited to 8 KiB and to 5 s from the start of the
// connection, and 16 connections are served at a time; others wait in the kernel's queue. All calls must come from the
// front's only thread.
class HttpServer {
 public:
  // pages: returns the page at a path ("/metrics"), or nullopt if there is none. The server must outlive `io`'s run.
  using Pages = std::function<std::optional<HttpPage>(std::string_view path)>;
  HttpServer(asio::io_context& io, asio::ip::tcp::acceptor acceptor, Pages pages);

  // Starts to accept connections; returns at once.
  void start();

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
