// All kinds of descriptor, in the order of matching.
#include "agent-src/collect/kind/fd_kind.hpp"

namespace crx {

FdKindPtr make_memfds();
FdKindPtr make_posix_queues();
FdKindPtr make_proc_files();
FdKindPtr make_namespace_files();
FdKindPtr make_fanotifies();
FdKindPtr make_regular_files();
FdKindPtr make_terminals();
FdKindPtr make_char_devices();
FdKindPtr make_block_devices();
FdKindPtr make_pipes();
FdKindPtr make_fifos();
FdKindPtr make_eventfds();
FdKindPtr make_timerfds();
FdKindPtr make_signalfds();
FdKindPtr make_epolls();
FdKindPtr make_inotifies();
FdKindPtr make_pidfds();
FdKindPtr make_inet_sockets();
FdKindPtr make_netlink_sockets();
FdKindPtr make_packet_sockets();
FdKindPtr make_unix_sockets();
FdKindPtr make_unsupported_fds();

std::vector<FdKindPtr> make_fd_kinds() {
  std::vector<FdKindPtr> kinds;
  kinds.push_back(make_memfds());
  kinds.push_back(make_posix_queues());
  kinds.push_back(make_proc_files());
  kinds.push_back(make_namespace_files());
  kinds.push_back(make_regular_files());
  kinds.push_back(make_terminals());
  kinds.push_back(make_char_devices());
  kinds.push_back(make_block_devices());
  kinds.push_back(make_pipes());
  kinds.push_back(make_fifos());
  kinds.push_back(make_eventfds());
  kinds.push_back(make_timerfds());
  kinds.push_back(make_signalfds());
  kinds.push_back(make_epolls());
  kinds.push_back(make_inotifies());
  kinds.push_back(make_fanotifies());
  kinds.push_back(make_pidfds());
  kinds.push_back(make_inet_sockets());
  kinds.push_back(make_netlink_sockets());
  kinds.push_back(make_packet_sockets());
  kinds.push_back(make_unix_sockets());
  kinds.push_back(make_unsupported_fds());
  return kinds;
}

}  // namespace crx
