// The SOL_SOCKET options of a socket of any family.
#pragma once

#include <string>

#include "agent-src/collect/kind/fd_kind.hpp"
#include "common/image/schema/crx.pb.h"
#include "common/image/schema/sockets.pb.h"

namespace crx {

// Reads all options through our duplicate and changes nothing. Options without a field in sk_opts_entry go to
// crx_file_entry.socket_options. Throws Error(refused) for a filter that cannot be read (eBPF).
img::sk_opts_entry read_socket_options(const OpenFile& file, FdContext& context);

// The same for a socket that is no OpenFile. Appends to `extra`. object: the name of the socket for messages.
img::sk_opts_entry read_socket_options(int fd, const std::string& object,
                                       google::protobuf::RepeatedPtrField<img::crx_socket_option>& extra);

// Returns why the options of a running task's socket cannot move; "" if they can. The remedy is kFilterRemedy.
std::string socket_option_problem(int fd);
inline constexpr char kFilterRemedy[] = "let the program detach it (SO_DETACH_FILTER)";

// Calls getsockopt(2) for an int option of any level; returns `otherwise` if this socket does not support the option.
int socket_int(int fd, int level, int name, int otherwise = 0);

}  // namespace crx
