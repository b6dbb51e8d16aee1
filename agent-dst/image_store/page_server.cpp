#include "agent-dst/image_store/page_server.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/endpoint.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/base/version.hpp"
#include "common/image/magic.hpp"
#include "common/image/page_images.hpp"
#include "common/tool/error_json.hpp"
#include "wire/connection/tls_dir.hpp"
#include "wire/page_server/page_server.hpp"

namespace crx {
namespace {

constexpr char kUsage[] =
    "Usage: crx-agent --page-server --images-dir DIR --port N [--prev-images-dir REL]\n"
    "                  [--tls-dir DIR] [--tls-cacrl FILE] [--insecure] [--ready-fd N]\n"
    "Receives the pages of one dump (crx-dump or criu dump with --page-server) into DIR, and ends.\n"
    "\n"
    "  --images-dir DIR  where pagemap-*.img and pages-*.img go\n"
    "  --prev-images-dir REL  the pages of the set that this one continues; relative to DIR\n"
    "  --port N          where to listen; 0 picks a free port\n"
    "  --tls-dir DIR     directory of ca.pem, cert.pem and key.pem; default $CRX_TLS_DIR, then /etc/crx/tls\n"
    "  --tls-cacrl FILE  list of revoked certificates; default crl.pem in that directory, if it is there\n"
    "  --insecure        plain text; listens on 127.0.0.1 only\n"
    "  --ready-fd N      write \"ready PORT\" to this descriptor once listening\n"
    "  --json            print one JSON object when it ends\n"
    "  --log-level error|warn|info|debug  default info\n"
    "  -h,--help, --version\n";

struct Options {
  std::string images_dir, tls_dir, tls_crl, prev_images_dir;
  int port = -1, ready_fd = -1;
  bool insecure = false, json = false, help = false, version = false;
  log::Level level = log::Level::info;
};

constexpr std::string_view kLevels[] = {"error", "warn", "info", "debug"};

// nullopt for wrong usage.
std::optional<Options> parse(int argc, const char* const* argv) {
  Options options;
  const auto number = [](const char* text, long most) -> int {
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    return *text != 0 && *end == 0 && value >= 0 && value <= most ? static_cast<int>(value) : -1;
  };
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    if (word == "--page-server") continue;
    const bool help = word == "-h" || word == "--help";
    options.help |= help;
    options.version |= word == "--version";
    options.insecure |= word == "--insecure";
    options.json |= word == "--json";
    if (help || word == "--version" || word == "--insecure" || word == "--json") continue;
    if (word == "--images-dir") {
      options.images_dir = value;
    } else if (word == "--prev-images-dir" && *value != '/') {
      options.prev_images_dir = value;
    } else if (word == "--tls-dir") {
      options.tls_dir = value;
    } else if (word == "--tls-cacrl") {
      options.tls_crl = value;
    } else if (word == "--port") {
      options.port = number(value, 65535);
    } else if (word == "--ready-fd") {
      options.ready_fd = number(value, 1 << 20);
    } else if (word == "--log-level") {
      const auto known = std::find(std::begin(kLevels), std::end(kLevels), std::string_view(value));
      if (known == std::end(kLevels)) return std::nullopt;
      options.level = log::parse_level(*known);
    } else {
      return std::nullopt;
    }
    ++i;
  }
  const bool asks = options.help || options.version;
  return !asks && (options.images_dir.empty() || options.port < 0) ? std::nullopt : std::optional(options);
}

// Receives and stores the pages of one connection.
class Store {
 public:
  Store(const std::string& directory, wire::PageStream& stream)
      : directory_(directory), set_(directory), stream_(stream) {}

  void serve() {
    wire::PageRequests requests(stream_);
    while (const auto request = requests.next()) {
      if (!handle(*request)) return;
    }
    throw Error(ErrorCode::peer, "receiving pages",
                stream_.peer() + " closed the connection before the dump was complete; nothing is stored");
  }

 private:
  struct Space {
    PageWriter writer;
    std::vector<PageRange> in_parent;
  };

  // False when the dump is complete.
  bool handle(const wire::PageRequest& request) {
    switch (request.command) {
      case wire::page_command::kOpen:
      case wire::page_command::kOpen2: {
        open(request);
        const std::byte answer{has_parent(request) ? uint8_t{1} : uint8_t{0}};
        if (request.command == wire::page_command::kOpen2) stream_.write({&answer, 1});
        return true;
      }
      case wire::page_command::kParent: {
        const int32_t answer = has_parent(request) ? 1 : 0;
        stream_.write(std::as_bytes(std::span(&answer, 1)));
        return true;
      }
      case wire::page_command::kAdd:
        add_pages(request);
        return true;
      case wire::page_command::kHole:
        add_hole(request);
        return true;
      case wire::page_command::kAddFlags:
        if ((request.flags & pagemap_flag::kPresent) != 0) {
          add_pages(request);
        } else if ((request.flags & pagemap_flag::kParent) != 0) {
          add_hole(request);
        }
        return true;
      case wire::page_command::kClose:
      case wire::page_command::kForceClose:
        finish();
        return false;
      default:
        throw Error(ErrorCode::peer, "receiving pages",
                    fmt::format("{} sent request {}", stream_.peer(), request.command));
    }
  }

  bool has_parent(const wire::PageRequest& request) const {
    if (!request.space) return false;
    return ::access((directory_ + "/parent/" + pagemap_name(*request.space)).c_str(), F_OK) == 0;
  }

  void open(const wire::PageRequest& request) {
    if (!request.space || spaces_.contains(*request.space)) {
      throw Error(ErrorCode::peer, "receiving pages",
                  stream_.peer() + " opened a space twice, or one of an unknown kind");
    }
    const auto id = static_cast<uint32_t>(spaces_.size() + 1);
    current_ = &spaces_.emplace(*request.space, Space{PageWriter(set_, *request.space, id), {}}).first->second;
  }

  Space& current() {
    if (current_ == nullptr)
      throw Error(ErrorCode::peer, "receiving pages", stream_.peer() + " sent pages before it opened a space");
    return *current_;
  }

  void add_pages(const wire::PageRequest& request) {
    const uint64_t end = request.vaddr + request.nr_pages * kPageSize;
    for (uint64_t at = request.vaddr; at < end;) {
      const PageRange part{at, std::min(end, at + buffer_.size())};
      const std::span<std::byte> bytes = std::span(buffer_).first(part.bytes());
      if (!stream_.read(bytes))
        throw Error(ErrorCode::peer, "receiving pages",
                    stream_.peer() + " closed the connection before it sent its pages");
      current().writer.add({part}, bytes);
      at = part.end;
    }
  }

  void add_hole(const wire::PageRequest& request) {
    current();
    const PageRange hole{request.vaddr, request.vaddr + request.nr_pages * kPageSize};
    if (!current_->in_parent.empty() && hole.start < current_->in_parent.back().end) {
      throw Error(ErrorCode::peer, "receiving pages", stream_.peer() + " sent holes out of order");
    }
    append_range(current_->in_parent, hole);
  }

  void finish() {
    uint64_t pages = 0;
    for (auto& [space, stored] : spaces_) {
      stored.writer.finish(set_, stored.in_parent);
      pages += stored.writer.pages();
    }
    set_.commit_beside();
    const int32_t status = 0;
    stream_.write(std::as_bytes(std::span(&status, 1)));
    log::info("received {} pages from {}", pages, stream_.peer());
  }

  std::string directory_;
  DirectorySink set_;
  wire::PageStream& stream_;
  std::map<PageSpace, Space> spaces_;
  Space* current_ = nullptr;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(kChunkBytes);
};

Fd listen_on(const Options& options) {
  Fd listener(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1, off = 0;
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  any.sin6_port = htons(static_cast<uint16_t>(options.port));
  any.sin6_addr = in6addr_any;
  sockaddr_in local{};
  local.sin_family = AF_INET;
  local.sin_port = any.sin6_port;
  local.sin_addr.s_addr = htonl(options.insecure ? INADDR_LOOPBACK : INADDR_ANY);
  const bool six = listener && !options.insecure;
  if (!six) listener.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener) throw_errno("listening", "socket");
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (six) ::setsockopt(listener.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  const auto* address = six ? reinterpret_cast<const sockaddr*>(&any) : reinterpret_cast<const sockaddr*>(&local);
  if (::bind(listener.get(), address, six ? sizeof any : sizeof local) != 0 || ::listen(listener.get(), 1) != 0) {
    throw_errno("listening", fmt::format("port {}", options.port));
  }
  return listener;
}

int port_of(int listener) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) != 0)
    throw_errno("listening", "getsockname");
  // The port is at the same offset in both kinds of addresses.
  return ntohs(reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
}

// Links the parent set before any space is opened, since its spaces are looked up in the parent at once.
void link_parent(const Options& options) {
  const std::string link = options.images_dir + "/parent";
  if (::unlink(link.c_str()) != 0 && errno != ENOENT) throw_errno("linking to the parent set", link);
  if (::symlink(options.prev_images_dir.c_str(), link.c_str()) != 0) throw_errno("linking to the parent set", link);
}

void serve_one(const Options& options) {
  std::optional<wire::TlsContext> tls;
  if (!options.insecure) tls.emplace(wire::TlsRole::server, wire::tls_dir_or_default(options.tls_dir), options.tls_crl);
  const Fd listener = listen_on(options);
  if (options.ready_fd >= 0) {
    const std::string text = fmt::format("ready {}\n", port_of(listener.get()));
    if (::write(options.ready_fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
      throw_errno("reporting the port", "--ready-fd");
    Fd(options.ready_fd).reset();
  }
  Fd socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket) throw_errno("accepting a connection", "accept");
  wire::PageStream stream(std::move(socket), tls ? &*tls : nullptr, "the client");
  Store store(options.images_dir, stream);
  if (!options.prev_images_dir.empty()) link_parent(options);
  store.serve();
}

}  // namespace

void receive_pages(const std::string& directory, wire::PageStream& stream) {
  Store(directory, stream).serve();
}

int run_page_server(int argc, const char* const* argv) {
  const std::optional<Options> options = parse(argc, argv);
  if (!options) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  if (options->help) return std::fputs(kUsage, stdout) < 0 ? 1 : 0;
  if (options->version) return std::printf("%s\n", version_text("crx-agent").c_str()) < 0 ? 1 : 0;
  ::signal(SIGPIPE, SIG_IGN);
  log::setup(options->level, "page-server");
  try {
    serve_one(*options);
    if (options->json) std::printf("{\"event\":\"received\"}\n");
    return 0;
  } catch (const Error& error) {
    if (options->json) std::printf("%s\n", error_json(error).c_str());
    std::fprintf(stderr, "crx-agent: %s\n", error.what());
    return 1;
  }
}

}  // namespace crx
