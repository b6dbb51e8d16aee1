// The socket options of IPv4, IPv6, TCP, UDP, raw, packet and netlink sockets that can be read and set again (ip(7),
// ipv6(7), tcp(7), udp(7), raw(7), packet(7), netlink(7)), without those of SOL_SOCKET.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace crx {

enum class OptionTime : uint8_t {
  early,  // before the socket is bound
  idle,   // early, and only for sockets that are not connected (what others tell has another meaning)
  late,   // when all else is done: it changes what sending or receiving does
};

struct InetOption {
  int level;
  int name;
  OptionTime time;
  uint8_t bytes;  // of the value; 0: up to kLongestOption
};
inline constexpr std::size_t kLongestOption = 64;

std::span<const InetOption> inet_options() noexcept;
// Nullptr for an option that is not in the table.
const InetOption* find_inet_option(int level, int name) noexcept;

struct OptionValue {
  const InetOption* option;
  std::string value;
};

// Reads the options of many sockets: what a new socket has, for comparison, is asked once for each kind.
class InetOptionReader {
 public:
  // What differs from a new socket of the same family, type and protocol (made here). connected: leaves out `idle`
  // options. Options that the socket does not know are left out. Throws Error(kernel).
  std::vector<OptionValue> read(int fd, bool connected);

 private:
  struct Kind {
    int family = 0, type = 0, protocol = 0;
    auto operator<=>(const Kind&) const = default;
  };
  struct Default {
    const InetOption* option;
    std::string value;
  };
  const std::vector<Default>& defaults(const Kind& kind);

  std::map<Kind, std::vector<Default>> defaults_;  // of the options that make sense for the kind
};

// Throws Error naming the option and `object`.
void set_inet_option(int fd, const InetOption& option, const std::string& value, const std::string& object);

}  // namespace crx
