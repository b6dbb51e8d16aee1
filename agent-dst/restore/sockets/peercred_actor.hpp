// Makes connections in somebody's name: SO_PEERCRED tells a program for ever who it was.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <optional>
#include <utility>

#include "agent-dst/restore/kind/fd_restorer.hpp"
#include "agent-dst/restore/sockets/bound_path.hpp"
#include "common/image/schema/crx_sockets.pb.h"

namespace crx {

// Every call is made by the process `who` names, with its user and group: in the vessel, where that is a task of the
// images; else in a process of this number that exists just for the call. Where neither can be (the number is taken by
// another program), the agent makes it and says so in the log. Sockets are our own descriptors throughout.
class PeercredActor {
 public:
  explicit PeercredActor(FdRestoreContext& context) : context_(context) {}

  // socketpair(2) with SOCK_NONBLOCK. who: nullptr for the agent itself.
  std::pair<Fd, Fd> make_pair(int type, const img::crx_ucred* who, const std::string& object);
  void listen(int fd, uint32_t backlog, const img::crx_ucred* who, const std::string& object);
  // bound: our O_PATH descriptor of a socket's file, or -1 where the abstract `name` is to be used.
  void connect(int fd, int bound, const std::string& name, const img::crx_ucred* who, const std::string& object);

 private:
  struct Call {
    enum class Kind { pair, listen, connect } kind;
    int fd = -1;
    int type = 0;
    int backlog = 0;
    int bound = -1;
    UnixAddress address;
    int pair[2] = {-1, -1};
  };
  void make(Call& call, const img::crx_ucred* who, const std::string& object);
  int64_t make_in_vessel(Vessel& vessel, Call& call, const img::crx_ucred& who);
  static int64_t make_here(Call& call);
  // Nothing where no process of this number can be made.
  static std::optional<int64_t> make_in_child(Call& call, const img::crx_ucred& who);

  FdRestoreContext& context_;
};

}  // namespace crx
