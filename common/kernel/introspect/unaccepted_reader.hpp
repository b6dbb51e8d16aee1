// Reads the data that was sent over unix socket connections which still wait to be accepted. No descriptor refers to
// the accepting end of such a connection, so the data can only be read from the kernel's own structures
// (net/unix/af_unix.c).
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/kernel/introspect/bpf/programs.h"

namespace crx {

struct UnacceptedConnection {
  struct Sent {
    std::string bytes;  // of one send(2)
    ucred sender{};     // as SCM_CREDENTIALS would report it; pid 0 where the kernel kept none
  };
  ucred connector{};  // the credentials of the process that called connect(2)
  std::string name;   // sun_path of the client, empty for none
  std::vector<Sent> sent;
};

// The content of a listening socket's queue, or the reason why it cannot be read.
struct UnacceptedQueue {
  std::vector<UnacceptedConnection> connections;  // in the order in which they will be accepted
  std::string trouble;  // empty: `connections` is complete; else "descriptors were passed with it", ...
};

// Part of a KernelView; owns its BPF program. Single-threaded.
class UnacceptedReader {
 public:
  // Loads the program and sets `reader`. Returns 0, or an errno: EPERM without CAP_BPF and CAP_PERFMON, or in a user
  // namespace whose user IDs differ from the kernel's.
  static int open(std::optional<UnacceptedReader>& reader);

  // Reads the queue of a listening socket (SOCK_STREAM or SOCK_SEQPACKET) of the caller's network namespace, given its
  // inode number. It cannot read descriptors that were passed, urgent data, and data that the kernel holds in pages
  // (from some 3700 bytes on in one send); the result's `trouble` says so. Everything is read twice, and `trouble` also
  // reports a change in between. Throws Error(kernel).
  UnacceptedQueue read(uint64_t listener_inode) const;

 private:
  struct Unload {
    void operator()(void* skeleton) const { crx_unload_unaccepted_programs(skeleton); }
  };
  explicit UnacceptedReader(const crx_unaccepted_programs& programs)
      : programs_(programs), skeleton_(programs.skeleton) {}
  UnacceptedQueue read_once(std::string& raw) const;

  crx_unaccepted_programs programs_;
  std::unique_ptr<void, Unload> skeleton_;
};

}  // namespace crx
