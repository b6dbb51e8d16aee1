#include "agent-src/collect/tcp_table.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <charconv>

#include "common/base/error.hpp"
#include "common/kernel/tcp_repair.hpp"
#include "common/proc/text.hpp"

namespace crx {
namespace {

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (;;) {
    const auto start = line.find_first_not_of(" \t");
    if (start == std::string_view::npos) return words;
    line.remove_prefix(start);
    const auto end = std::min(line.find_first_of(" \t"), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

uint64_t hex(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return value;
}

// "0100007F:1F90": words of the address as they lie in memory, then the port.
InetAddress address_of(std::string_view text) {
  InetAddress address;
  const auto colon = std::min(text.find(':'), text.size());
  address.family = colon == 8 ? AF_INET : AF_INET6;
  for (std::size_t i = 0; i < colon / 8 && i < 4; ++i) {
    address.words.at(i) = static_cast<uint32_t>(hex(text.substr(i * 8, 8)));
  }
  if (colon < text.size()) address.port = static_cast<uint16_t>(hex(text.substr(colon + 1)));
  return address.plain();
}

constexpr std::size_t kInodeColumn = 9;

}  // namespace

TcpTable::TcpTable(const std::vector<OpenFile>& files) {
  for (const OpenFile& file : files) {
    if (!S_ISSOCK(file.st.st_mode)) continue;
    const SocketDoor door(file);
    const auto identity = identify_socket(door.get());
    if (!identity || (identity->family != AF_INET && identity->family != AF_INET6)) continue;
    InetLook look;
    look.identity = *identity;
    if (!look.is_tcp()) continue;
    look = look_at_inet(door.get(), *identity, file.label());
    pid_ = file.pid;
    if (look.peer) by_ends_.emplace(Ends{look.local.plain(), look.peer->plain()}, sockets_.size());
    sockets_.push_back({&file, look});
  }
}

const TcpTable::Socket* TcpTable::other_end(const InetLook& look) const {
  if (!look.peer) return nullptr;
  const auto found = by_ends_.find(Ends{look.peer->plain(), look.local.plain()});
  return found == by_ends_.end() ? nullptr : &sockets_[found->second];
}

const TcpTable::Socket* TcpTable::listener_at(const InetAddress& address) const {
  const InetAddress wanted = address.plain();
  const Socket* any = nullptr;
  for (const Socket& socket : sockets_) {
    if (!socket.look.listening || socket.look.local.port != wanted.port) continue;
    if (socket.look.local.plain() == wanted) return &socket;
    if (socket.look.local.is_any() && (socket.look.identity.family == AF_INET6 || wanted.family == AF_INET)) any = &socket;
  }
  return any;
}

const TcpTable::Orphan* TcpTable::waiting_end(const InetLook& look) {
  if (!look.peer || listener_at(*look.peer) == nullptr) return nullptr;
  if (!orphans_read_) read_orphans();
  const auto found = orphans_.find(Ends{look.peer->plain(), look.local.plain()});
  return found == orphans_.end() ? nullptr : &found->second;
}

void TcpTable::read_orphans() {
  orphans_read_ = true;
  for (const char* name : {"tcp", "tcp6"}) {
    const std::string path = fmt::format("/proc/{}/net/{}", pid_, name);
    const Fd file = try_open(path, O_RDONLY);
    if (!file) continue;
    const std::string text = read_fd(file.get(), path);
    std::string_view left = text;
    while (const auto line = proc::next_line(left)) {
      const auto words = words_of(*line);
      if (words.size() <= kInodeColumn || words[kInodeColumn] != "0") continue;
      Orphan orphan;
      orphan.state = static_cast<uint32_t>(hex(words[3]));
      const auto colon = words[4].find(':');
      if (colon != std::string_view::npos) orphan.received = hex(words[4].substr(colon + 1));
      orphans_.emplace(Ends{address_of(words[1]), address_of(words[2])}, orphan);
    }
  }
}

}  // namespace crx
