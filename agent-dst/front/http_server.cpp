#include "agent-dst/front/http_server.hpp"

#include <fmt/format.h>
#include <http_parser.h>

#include <array>
#include <asio/buffer.hpp>
#include <asio/co_spawn.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include "common/base/log.hpp"

#if defined(__GNUC__) && !defined(__clang__)
// g++ 12 reports Asio's coroutine frames (aligned_alloc behind operator new) as a mismatch.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace crx::front {
namespace {

using asio::ip::tcp;

constexpr int kMaxConnections = 16;
constexpr std::size_t kMaxRequestBytes = 8 << 10;
constexpr std::chrono::seconds kMaxTime{5};

const char* reason(unsigned status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 503:
      return "Service Unavailable";
    default:
      return "";
  }
}

std::string response(unsigned status, const HttpPage& page, bool with_body) {
  return fmt::format(
             "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\nCache-Control: "
             "no-store\r\n"
             "X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nCross-Origin-Resource-Policy: same-origin\r\n"
             "Referrer-Policy: no-referrer\r\n"
             "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; img-src data:\r\n{}\r\n",
             status, reason(status), page.type, page.body.size(), status == 405 ? "Allow: GET, HEAD\r\n" : "") +
         (with_body ? page.body : std::string());
}

}  // namespace

struct HttpServer::Connection {
  Connection(tcp::socket from, asio::io_context& io) : socket(std::move(from)), limit(io, kMaxTime) {
    ::http_parser_init(&parser, HTTP_REQUEST);
    ::http_parser_settings_init(&settings);
    settings.on_url = [](http_parser* at, const char* text, std::size_t bytes) {
      static_cast<Connection*>(at->data)->url.append(text, bytes);
      return 0;
    };
    // The end of the header is all that is needed; returning 1 tells the parser not to expect a body.
    settings.on_headers_complete = [](http_parser* at) {
      static_cast<Connection*>(at->data)->complete = true;
      return 1;
    };
    parser.data = this;
  }

  // False when the bytes are not HTTP.
  bool take(const char* bytes, std::size_t count) {
    const std::size_t parsed = ::http_parser_execute(&parser, &settings, bytes, count);
    return complete || (HTTP_PARSER_ERRNO(&parser) == HPE_OK && parsed == count);
  }

  tcp::socket socket;
  asio::steady_timer limit;
  http_parser parser{};
  http_parser_settings settings{};
  std::string url;
  bool complete = false;
};

HttpServer::HttpServer(asio::io_context& io, tcp::acceptor acceptor, Pages pages)
    : io_(io),
      acceptor_(std::move(acceptor)),
      pages_(std::move(pages)),
      fewer_(io, asio::steady_timer::time_point::max()) {}

void HttpServer::start() {
  asio::co_spawn(io_, accept_all(), [](std::exception_ptr thrown) {
    if (thrown) log::error("crx-agent no longer serves its status page");
  });
}

asio::awaitable<void> HttpServer::accept_all() {
  while (acceptor_.is_open()) {
    asio::error_code ec;
    if (open_ >= kMaxConnections) {
      co_await fewer_.async_wait(asio::redirect_error(asio::use_awaitable, ec));
      continue;
    }
    tcp::socket socket(io_);
    co_await acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, ec));
    if (!acceptor_.is_open()) co_return;
    if (ec) {  // out of descriptors, or the client has gone away
      asio::steady_timer pause(io_, std::chrono::milliseconds(100));
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ec));
      continue;
    }
    ++open_;
    auto connection = std::make_shared<Connection>(std::move(socket), io_);
    connection->limit.async_wait([connection](const asio::error_code& cancelled) {
      asio::error_code ignored;
      if (!cancelled) connection->socket.close(ignored);
    });
    asio::co_spawn(io_, serve(connection), [this, connection](std::exception_ptr) {
      asio::error_code ignored;
      connection->socket.close(ignored);
      connection->limit.cancel();
      --open_;
      fewer_.cancel();
    });
  }
}

std::string HttpServer::answer(const Connection& connection, bool understood) const {
  const HttpPage bad{"text/plain; charset=utf-8", "crx-agent does not understand this request.\n"};
  http_parser_url parts{};
  if (!understood || !connection.complete ||
      ::http_parser_parse_url(connection.url.data(), connection.url.size(), 0, &parts) != 0 ||
      (parts.field_set & (1U << UF_PATH)) == 0) {
    return response(400, bad, true);
  }
  const auto method = connection.parser.method;
  if (method != HTTP_GET && method != HTTP_HEAD) {
    return response(405, {bad.type, "Only GET and HEAD are allowed.\n"}, true);
  }
  const auto& path = parts.field_data[UF_PATH];
  const auto page = pages_(std::string_view(connection.url).substr(path.off, path.len));
  if (!page)
    return response(404, {bad.type, "The pages here are /, /status.json, /metrics and /healthz.\n"},
                    method == HTTP_GET);
  return response(page->status, *page, method == HTTP_GET);
}

asio::awaitable<void> HttpServer::serve(std::shared_ptr<Connection> connection) {
  std::array<char, 2048> bytes;
  std::size_t total = 0;
  bool understood = true;
  while (understood && !connection->complete) {
    asio::error_code ec;
    const std::size_t count =
        co_await connection->socket.async_read_some(asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, ec));
    if (ec) co_return;
    total += count;
    understood = total <= kMaxRequestBytes && connection->take(bytes.data(), count);
  }
  const std::string text = answer(*connection, understood);
  asio::error_code ec;
  co_await asio::async_write(connection->socket, asio::buffer(text), asio::redirect_error(asio::use_awaitable, ec));
  connection->socket.shutdown(tcp::socket::shutdown_send, ec);
}

}  // namespace crx::front
