// TCP_REPAIR: taking a connection's state from its socket, and making a socket that has it. tcp(7),
// net/ipv4/tcp.c. Needs CAP_NET_ADMIN in the socket's network namespace.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/kernel/sockets/inet_address.hpp"

namespace crx {

// As TCP_INFO tells them (net/tcp_states.h).
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
// We have sent a FIN / got the peer's / ours is acknowledged.
bool sent_fin(uint32_t state) noexcept;
bool got_fin(uint32_t state) noexcept;
bool fin_acknowledged(uint32_t state) noexcept;
// Sequence numbers, queues: one of the states between handshake and end.
bool is_connected(uint32_t state) noexcept;
}  // namespace tcp_state

// What TCP_INFO says, as far as we need it.
struct TcpInfo {
  uint32_t state = 0;
  uint32_t options = 0;  // TCPI_OPT_
  uint32_t snd_wscale = 0, rcv_wscale = 0;
  uint32_t waiting = 0, backlog = 0;  // of a listening socket: connections not accepted, and how many may be
};
TcpInfo tcp_info(int fd, const std::string& object);

// struct tcp_repair_window.
struct TcpWindow {
  uint32_t snd_wl1 = 0, snd_wnd = 0, max_window = 0, rcv_wnd = 0, rcv_wup = 0;
};

// A connection at rest. Sequence numbers are those behind the queue, without the one that a FIN takes.
struct TcpStream {
  uint32_t state = tcp_state::kEstablished;
  std::string inq;  // received, not read
  uint32_t inq_seq = 0;
  std::string outq;  // not acknowledged, then not sent
  uint32_t outq_seq = 0;
  uint32_t unsent = 0;   // bytes at the end of outq that were never sent
  uint32_t options = 0;  // TCPI_OPT_
  uint32_t snd_wscale = 0, rcv_wscale = 0;
  uint32_t mss_clamp = 0;
  std::optional<uint32_t> timestamp;
  std::optional<TcpWindow> window;
};

// Reads the connection of a socket in one of the connected states without changing it: queues are peeked at, and repair
// mode is left without a packet. Its packets must be held back meanwhile where the state may not change.
// Throws Error(kernel), Error(unsupported) without TCP_REPAIR.
TcpStream read_stream(int fd, const std::string& object);

// Repair mode on: what is done with the socket sends nothing, its close neither.
void enter_repair(int fd, const std::string& object);
// Repair mode off; SO_REUSEADDR is off afterwards, too. probe: asks the peer for an answer (a window probe), which
// gets a connection going again.
void leave_repair(int fd, bool probe, const std::string& object);

// Gives a bound or new socket in repair mode the connection, ESTABLISHED whatever stream.state is, with everything but
// what was never sent. It stays in repair mode. Buffer sizes are raised as needed and stay so.
void make_stream(int fd, const TcpStream& stream, const InetAddress& peer, const std::string& object);

}  // namespace crx
