// What sock_diag(7) tells of unix sockets.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace crx {

// linux/unix_diag.h. States are those of TCP: 1 established, 7 closed, 10 listening.
struct UnixSocketInfo {
  uint32_t inode = 0;  // 0 for a connection that waits to be accepted
  int type = 0;        // SOCK_
  int state = 0;
  uint64_t cookie = 0;  // unique in the network namespace as long as it runs
  bool named = false;
  std::string name;               // sun_path; abstract names begin with a zero byte
  std::optional<uint32_t> peer;   // inode of the other end, 0 for one that is gone
  bool has_file = false;          // bound to a file:
  uint32_t file_inode = 0;        //   the lower 32 bits of its inode number
  dev_t file_dev = 0;             //   as stat(2) gives it
  std::vector<uint32_t> waiting;  // of a listening socket: inodes of the clients to be accepted; 0 for one that is gone
  uint32_t receive_queue = 0;     // bytes (of a datagram socket, of the first one); listening: connections that wait
  uint32_t send_queue = 0;        // bytes; listening: the backlog
  uint8_t shutdown = 0;           // 1 receiving, 2 sending
};

constexpr int kSocketEstablished = 1;
constexpr int kSocketClosed = 7;
constexpr int kSocketListening = 10;

// All unix sockets of the network namespace that the calling thread is in, in the kernel's order. Sockets that come and
// go meanwhile may be missing or there. Throws Error(unsupported) on a kernel without unix_diag.
std::vector<UnixSocketInfo> list_unix_sockets();
// The same of those that listen.
std::vector<UnixSocketInfo> list_listening_unix_sockets();
// One of them; nothing where there is none.
std::optional<UnixSocketInfo> find_unix_socket(uint32_t inode);

}  // namespace crx
