// What was sent over connections of unix sockets that wait to be accepted: no descriptor leads to their ends, and so
// only the kernel's own structures tell (net/unix/af_unix.c).
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/kernel/introspect/kernel_pages.hpp"
#include "common/kernel/introspect/kernel_reader.hpp"

namespace crx {

struct UnacceptedConnection {
  struct Sent {
    std::string bytes;  // of one send(2)
    ucred sender{};     // as SCM_CREDENTIALS would tell; pid 0 where the kernel kept none
  };
  ucred connector{};  // who called connect(2)
  std::string name;   // sun_path of the client, empty for none
  std::vector<Sent> sent;
};

class UnacceptedReader {
 public:
  // Nothing where KernelReader is not to be had, the structures are others, or the caller is in a user namespace of its
  // own.
  static std::optional<UnacceptedReader> open();

  // In the order in which they will be accepted, of a listening socket of streams or records, our descriptor. Nothing
  // where something cannot be told: descriptors that were passed, urgent data. Nobody may accept or send meanwhile.
  std::optional<std::vector<UnacceptedConnection>> at(int fd) const;

 private:
  explicit UnacceptedReader(KernelReader reader);
  uint64_t socket_of(int fd) const;
  std::vector<uint64_t> queue_of(uint64_t sock, bool& whole) const;
  bool read(uint64_t end, UnacceptedConnection& unaccepted_connection) const;
  bool read_sent(uint64_t buffer, UnacceptedConnection::Sent& sent) const;
  bool read_paged(uint64_t buffer, char* to, std::size_t bytes) const;
  uint64_t descriptor_of(const std::byte* page) const;
  bool read_name(uint64_t end, std::string& name) const;
  pid_t number_of(uint64_t pid) const;

  KernelReader reader_;
  mutable std::optional<std::optional<KernelPages>> pages_;  // on first use
  uint32_t level_ = 0;                                       // of our PID namespace
  uint64_t space_ = 0;                                       // that namespace
  struct {
    uint64_t files, table, slots, data, sk;                                // from a task to a socket
    uint64_t queue, next, owner;                                           // its queue, what waits there, whose that is
    uint64_t peer, address, name_bytes, name;                              // unix_sock, unix_address
    uint64_t peer_pid, peer_cred, euid, egid;                              // sock, cred
    uint64_t bytes, paged_bytes, begin, control, pid, uid, gid, passed;    // sk_buff, unix_skb_parms
    uint64_t level, numbers, number_bytes, number, space;                  // pid, upid
    uint64_t head, end;                                                    // sk_buff: where what describes its pages is
    uint64_t count, parts, part_bytes, part_page, part_length, part_from;  // skb_shared_info, skb_frag
    std::optional<uint64_t> urgent;                                        // unix_sock, where the kernel has such data
  } at_{};
};

}  // namespace crx
