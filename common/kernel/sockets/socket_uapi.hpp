// Socket options that the C library's headers may lack, and the SOL_SOCKET options that both agents carry by number.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>

#ifndef SO_PASSPIDFD  // Linux 6.5
#define SO_PASSPIDFD 76
#define SO_PEERPIDFD 77
#endif
#ifndef SO_TXREHASH  // Linux 5.18
#define SO_TXREHASH 74
#endif
#ifndef SO_RCVPRIORITY  // Linux 6.14
#define SO_RCVPRIORITY 82
#endif
#ifndef SO_PASSRIGHTS  // Linux 6.16
#define SO_PASSRIGHTS 83
#endif

namespace crx {

// An option of SOL_SOCKET whose value is carried unchanged.
struct PlainSocketOption {
  int name;
  const char* word;
  std::size_t bytes;
  uint64_t usual;  // the value of a socket on which the option was never set
};

// In the order in which they are set. SO_TIMESTAMP..., SO_TIMESTAMPING: the _OLD and _NEW forms exclude each other.
inline constexpr std::array<PlainSocketOption, 24> kPlainSocketOptions = {{
    {SO_DEBUG, "SO_DEBUG", 4, 0},
    {SO_TIMESTAMP_OLD, "SO_TIMESTAMP", 4, 0},
    {SO_TIMESTAMPNS_OLD, "SO_TIMESTAMPNS", 4, 0},
    {SO_TIMESTAMP_NEW, "SO_TIMESTAMP_NEW", 4, 0},
    {SO_TIMESTAMPNS_NEW, "SO_TIMESTAMPNS_NEW", 4, 0},
    {SO_TIMESTAMPING_OLD, "SO_TIMESTAMPING", 4, 0},
    {SO_TIMESTAMPING_NEW, "SO_TIMESTAMPING_NEW", 4, 0},
    {SO_RXQ_OVFL, "SO_RXQ_OVFL", 4, 0},
    {SO_WIFI_STATUS, "SO_WIFI_STATUS", 4, 0},
    {SO_PEEK_OFF, "SO_PEEK_OFF", 4, 0xffffffff},
    {SO_NOFCS, "SO_NOFCS", 4, 0},
    {SO_SELECT_ERR_QUEUE, "SO_SELECT_ERR_QUEUE", 4, 0},
    // The kernel updates it on connections; on other sockets the program sets it to the CPU that it prefers.
    {SO_INCOMING_CPU, "SO_INCOMING_CPU", 4, 0xffffffff},
    {SO_BUSY_POLL, "SO_BUSY_POLL", 4, 0},
    {SO_MAX_PACING_RATE, "SO_MAX_PACING_RATE", 8, UINT64_MAX},
    {SO_ZEROCOPY, "SO_ZEROCOPY", 4, 0},
    {SO_TXTIME, "SO_TXTIME", 8, 0},
    {SO_PREFER_BUSY_POLL, "SO_PREFER_BUSY_POLL", 4, 0},
    {SO_RESERVE_MEM, "SO_RESERVE_MEM", 4, 0},
    {SO_RCVMARK, "SO_RCVMARK", 4, 0},
    {SO_TXREHASH, "SO_TXREHASH", 4, 0xff},
    {SO_PASSPIDFD, "SO_PASSPIDFD", 4, 0},
    {SO_RCVPRIORITY, "SO_RCVPRIORITY", 4, 0},
    {SO_PASSRIGHTS, "SO_PASSRIGHTS", 4, 1},
}};

}  // namespace crx
