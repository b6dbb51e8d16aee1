#include "agent-src/collect/sockets/socket_names.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "common/base/fd.hpp"
#include "common/proc/text.hpp"

namespace crx {
namespace {

// Formats "0100007F:1F90", or 32 digits for IPv6: the address as words in host order, then the port.
std::string printed_address(std::string_view text) {
  const auto colon = text.find(':');
  if (colon != 8 && colon != 32) return std::string(text);
  std::array<uint32_t, 4> words{};
  for (std::size_t i = 0; i < colon / 8; ++i) {
    words.at(i) = static_cast<uint32_t>(std::stoul(std::string(text.substr(i * 8, 8)), nullptr, 16));
  }
  char name[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(colon == 8 ? AF_INET : AF_INET6, words.data(), name, sizeof name);
  const unsigned long port = std::stoul(std::string(text.substr(colon + 1)), nullptr, 16);
  return colon == 8 ? fmt::format("{}:{}", name, port) : fmt::format("[{}]:{}", name, port);
}

std::string describe_inet(std::string_view kind, const std::vector<std::string_view>& words) {
  const std::string local = printed_address(words.at(1));
  const std::string remote = printed_address(words.at(2));
  if (words.at(3) == "0A") return fmt::format("a {} socket listening on {}", kind, local);
  if (remote.ends_with(":0")) return fmt::format("a {} socket bound to {}", kind, local);
  return fmt::format("a {} connection from {} to {}", kind, local, remote);
}

struct Table {
  std::string_view file;
  std::string_view kind;
  std::size_t inode_column;
  bool inet;
};
constexpr std::array<Table, 9> kTables = {{{"tcp", "TCP", 9, true},
                                           {"tcp6", "TCP", 9, true},
                                           {"udp", "UDP", 9, true},
                                           {"udp6", "UDP", 9, true},
                                           {"raw", "raw IP", 9, true},
                                           {"raw6", "raw IP", 9, true},
                                           {"unix", "Unix", 6, false},
                                           {"netlink", "netlink", 9, false},
                                           {"packet", "packet", 8, false}}};

}  // namespace

std::string describe_socket(pid_t pid, ino_t inode) {
  const std::string wanted = std::to_string(inode);
  for (const Table& table : kTables) {
    const std::string path = fmt::format("/proc/{}/net/{}", pid, table.file);
    const Fd file = try_open(path, O_RDONLY);
    if (!file) continue;
    const std::string text = read_fd(file.get(), path);
    std::string_view left = text;
    while (const auto line = proc::next_line(left)) {
      const auto words = proc::words_of(*line);
      if (words.size() <= table.inode_column || words[table.inode_column] != wanted) continue;
      if (table.inet) return describe_inet(table.kind, words);
      if (table.file == "unix") {
        return words.size() > 7 ? fmt::format("a Unix socket ({})", words[7]) : "a Unix socket without a name";
      }
      return fmt::format("a {} socket", table.kind);
    }
  }
  return "a socket";
}

}  // namespace crx
