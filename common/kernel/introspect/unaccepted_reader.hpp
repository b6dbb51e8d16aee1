// What was sent over connections of unix sockets that wait to be accepted: no descriptor leads to their ends, and so
// only the kernel's own structures have it (net/unix/af_unix.c).
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
    ucred sender{};     // as SCM_CREDENTIALS would have it; pid 0 where the kernel kept none
  };
  ucred connector{};  // who called connect(2)
  std::string name;   // sun_path of the client, empty for none
  std::vector<Sent> sent;
};

// What the queue of a listening socket holds, or why that cannot be read.
struct UnacceptedQueue {
  std::vector<UnacceptedConnection> connections;  // in the order in which they will be accepted
  std::string trouble;  // empty: `connections` is complete; else "descriptors were passed with it", ...
};

// Part of a KernelView. Single-threaded.
class UnacceptedReader {
 public:
  // Loads the program. Returns 0, or an errno: EPERM without CAP_BPF and CAP_PERFMON, or in a user namespace that
  // numbers users in its own way.
  static int open(std::optional<UnacceptedReader>& reader);

  // Of a listening socket of streams or records in our network namespace, by its inode. Not read are descriptors that
  // were passed, urgent data, and data that the kernel holds in pages (from some 3700 bytes on in one send). Everything
  // is read twice, and refused where it changed. Throws Error(kernel).
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
