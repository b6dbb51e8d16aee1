// The socket options of IPv4, IPv6, TCP, UDP, raw, packet and netlink sockets that can be read and set again (ip(7),
// ipv6(7), tcp(7), udp(7), raw(7), packet(7), netlink(7)), except those of SOL_SOCKET.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace crx {

// When the restorer sets an option.
enum class OptionTime : uint8_t {
  early,  // set before the socket is bound
  idle,   // as early, but only for sockets that are not connected (on a connected socket the value has another meaning)
  late,   // set last, because the option changes the effect of sending or receiving
};

struct InetOption {
  int level;
  int name;
  OptionTime time;
  uint8_t bytes;  // size of the value; 0: variable, up to kLongestOption
};
inline constexpr std::size_t kLongestOption = 64;

// The table of all known options.
std::span<const InetOption> inet_options() noexcept;
// nullptr for an option that is not in the table.
const InetOption* find_inet_option(int level, int name) noexcept;

struct OptionValue {
  const InetOption* option;
  std::string value;
};

// Reads the options of many sockets. The options of a new socket, for comparison, are read once per kind of socket.
class InetOptionReader {
 public:
  // The options whose values differ from those of a new socket of the same family, type and protocol (created here).
  // connected: skips `idle` options. Options that the socket does not support are skipped. Throws Error(kernel).
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

  // the options that apply to the kind, with the values of a new socket
  std::map<Kind, std::vector<Default>> defaults_;
};

// Throws Error naming the option and `object`.
void set_inet_option(int fd, const InetOption& option, const std::string& value, const std::string& object);

}  // namespace crx
