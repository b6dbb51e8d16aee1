// All kinds of descriptor.
#include "agent-dst/restore/kind/fd_restorer.hpp"

namespace crx {

FdRestorerPtr make_regular_file_restorer();
FdRestorerPtr make_pipe_restorer();
FdRestorerPtr make_fifo_restorer();
FdRestorerPtr make_eventfd_restorer();
FdRestorerPtr make_timerfd_restorer();
FdRestorerPtr make_signalfd_restorer();
FdRestorerPtr make_epoll_restorer();
FdRestorerPtr make_inotify_restorer();
FdRestorerPtr make_memfd_restorer();
FdRestorerPtr make_pidfd_restorer();
FdRestorerPtr make_udp_restorer();
FdRestorerPtr make_tcp_restorer();
FdRestorerPtr make_netlink_restorer();
FdRestorerPtr make_packet_restorer();
FdRestorerPtr make_posix_queue_restorer();
FdRestorerPtr make_terminal_restorer();
FdRestorerPtr make_fanotify_restorer();
FdRestorerPtr make_unix_socket_restorer();

std::vector<FdRestorerPtr> make_fd_restorers() {
  std::vector<FdRestorerPtr> kinds;
  kinds.push_back(make_regular_file_restorer());
  kinds.push_back(make_pipe_restorer());
  kinds.push_back(make_fifo_restorer());
  kinds.push_back(make_eventfd_restorer());
  kinds.push_back(make_timerfd_restorer());
  kinds.push_back(make_signalfd_restorer());
  kinds.push_back(make_epoll_restorer());
  kinds.push_back(make_inotify_restorer());
  kinds.push_back(make_memfd_restorer());
  kinds.push_back(make_pidfd_restorer());
  kinds.push_back(make_udp_restorer());
  kinds.push_back(make_tcp_restorer());
  kinds.push_back(make_netlink_restorer());
  kinds.push_back(make_packet_restorer());
  kinds.push_back(make_posix_queue_restorer());
  kinds.push_back(make_terminal_restorer());
  kinds.push_back(make_fanotify_restorer());
  kinds.push_back(make_unix_socket_restorer());
  return kinds;
}

}  // namespace crx
