// Makes connections in the name of another process, since SO_PEERCRED keeps reporting who has made them.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <optional>
#include <utility>

#include "agent-dst/restore/kind/fd_restorer.hpp"
#include "agent-dst/restore/sockets/bound_path.hpp"
#include "common/image/schema/crx_sockets.pb.h"

namespace crx {

// Every call is made by the process that `who` names, with its user and group: in the vessel if that is a task of the
// images, otherwise in a process of this number that exists only for the call. If neither is possible (another program
// has the number), the agent makes the call and logs a warning. All sockets are our own descriptors. Throws Error that
// names `object`.
class PeercredActor {
 public:
  explicit PeercredActor(FdRestoreContext& context) : context_(context) {}

  // Calls socketpair(2) with SOCK_NONBLOCK. who: nullptr for the agent itself.
  std::pair<Fd, Fd> make_pair(int type, const img::crx_ucred* who, const std::string& object);
  // Calls listen(2): a later client sees `who` as its peer.
  void listen(int fd, uint32_t backlog, const img::crx_ucred* who, const std::string& object);
  // bound: our O_PATH descriptor of a socket's file, or -1 to connect to the abstract `name`.
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
  // Returns nothing if no process of this number can be made.
  static std::optional<int64_t> make_in_child(Call& call, const img::crx_ucred& who);

  FdRestoreContext& context_;
};

}  // namespace crx
