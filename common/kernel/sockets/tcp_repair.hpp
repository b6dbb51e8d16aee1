// TCP_REPAIR: reads the state of a connection from its socket, and gives a socket such a state. tcp(7), net/ipv4/tcp.c.
// Needs CAP_NET_ADMIN in the socket's network namespace.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/kernel/sockets/inet_address.hpp"

namespace crx {

// The values of TCP_INFO (net/tcp_states.h).
namespace tcp_state {
inline constexpr uint32_t kEstablished = 1;
inline constexpr uint32_t kSynSent = 2;
inline constexpr uint32_t kSynRecv = 3;
inline constexpr uint32_t kFinWait1 = 4;
inline constexpr uint32_t kFinWait2 = 5;
inline constexpr uint32_t kTimeWait = 6;
inline constexpr uint32_t kClose = 7;
inline constexpr uint32_t kCloseWait = 8;
inline constexpr uint32_t kLastAck = 9;
inline constexpr uint32_t kListen = 10;
inline constexpr uint32_t kClosing = 11;
// Whether, in this state, this end has sent a FIN; has received the peer's FIN; has had its FIN acknowledged.
bool sent_fin(uint32_t state) noexcept;
bool got_fin(uint32_t state) noexcept;
bool fin_acknowledged(uint32_t state) noexcept;
// True for the states between the handshake and the end, which have sequence numbers and queues.
bool is_connected(uint32_t state) noexcept;
}  // namespace tcp_state

// The part of TCP_INFO that crx needs.
struct TcpInfo {
  uint32_t state = 0;
  uint32_t options = 0;  // TCPI_OPT_
  uint32_t snd_wscale = 0, rcv_wscale = 0;
  uint32_t waiting = 0, backlog = 0;  // listening: connections not accepted yet, and the backlog
};
TcpInfo tcp_info(int fd, const std::string& object);
// The same; nothing where the kernel does not answer (for MPTCP before Linux 5.16), and errno says why.
std::optional<TcpInfo> try_tcp_info(int fd);

// struct tcp_repair_window of linux/tcp.h.
struct TcpWindow {
  uint32_t snd_wl1 = 0, snd_wnd = 0, max_window = 0, rcv_wnd = 0, rcv_wup = 0;
};

// A connection that does not change. Sequence numbers are those at the end of the queue, without the number that a FIN
// occupies.
struct TcpStream {
  uint32_t state = tcp_state::kEstablished;
  std::string inq;  // received, not read yet
  uint32_t inq_seq = 0;
  std::string outq;  // the bytes that are not acknowledged, then those that were not sent
  uint32_t outq_seq = 0;
  uint32_t unsent = 0;   // bytes at the end of outq that were never sent
  uint32_t options = 0;  // TCPI_OPT_
  uint32_t snd_wscale = 0, rcv_wscale = 0;
  uint32_t mss_clamp = 0;
  std::optional<uint32_t> timestamp;
  std::optional<TcpWindow> window;
};

// Reads the connection of a socket in one of the connected states without changing it: queues are only peeked at, and
// repair mode is left without sending a packet. The caller must block the connection's packets meanwhile if the state
// must not change. Throws Error(kernel), or Error(unsupported) without TCP_REPAIR.
TcpStream read_stream(int fd, const std::string& object);

// Switches repair mode on: operations on the socket, including close, send no packets.
void enter_repair(int fd, const std::string& object);
// Switches repair mode off; SO_REUSEADDR is off afterwards, too. probe: sends a window probe, whose answer makes a
// stalled connection continue.
void leave_repair(int fd, bool probe, const std::string& object);

// Gives the state of the connection to a bound or new socket in repair mode. The socket becomes ESTABLISHED,
// independently of stream.state, with everything except the bytes that were never sent, and stays in repair mode.
// Buffer sizes are raised as needed and not reduced again.
void make_stream(int fd, const TcpStream& stream, const InetAddress& peer, const std::string& object);

}  // namespace crx
