#include "agent-src/collect/sockets/net_rows.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "common/base/fd.hpp"
#include "common/proc/text.hpp"

namespace crx {
namespace {

constexpr std::size_t kInodeColumn = 9;

uint64_t number(std::string_view text, int base) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, base);
  return value;
}

// Parses "0100007F:1F90": the address as words in memory order, then the port.
InetAddress address_of(std::string_view text) {
  InetAddress address;
  const auto colon = std::min(text.find(':'), text.size());
  address.family = colon == 8 ? AF_INET : AF_INET6;
  for (std::size_t i = 0; i < colon / 8 && i < 4; ++i) {
    address.words.at(i) = static_cast<uint32_t>(number(text.substr(i * 8, 8), 16));
  }
  if (colon < text.size()) address.port = static_cast<uint16_t>(number(text.substr(colon + 1), 16));
  return address.plain();
}

}  // namespace

std::vector<NetRow> read_net_rows(pid_t pid, const char* name) {
  std::vector<NetRow> rows;
  const std::string path = fmt::format("/proc/{}/net/{}", pid, name);
  const Fd file = try_open(path, O_RDONLY);
  if (!file) return rows;
  const std::string text = read_fd(file.get(), path);
  std::string_view left = text;
  proc::next_line(left);  // the heading
  while (const auto line = proc::next_line(left)) {
    const auto words = proc::words_of(*line);
    if (words.size() <= kInodeColumn) continue;
    NetRow row;
    row.local = address_of(words[1]);
    row.peer = address_of(words[2]);
    row.state = static_cast<uint32_t>(number(words[3], 16));
    const auto colon = std::min(words[4].find(':'), words[4].size());
    row.sending = number(words[4].substr(0, colon), 16);
    if (colon < words[4].size()) row.received = number(words[4].substr(colon + 1), 16);
    row.inode = number(words[kInodeColumn], 10);
    rows.push_back(row);
  }
  return rows;
}

}  // namespace crx
