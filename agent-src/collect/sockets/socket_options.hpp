// SOL_SOCKET options of a socket, of any family.
#pragma once

#include <string>

#include "agent-src/collect/kind/fd_kind.hpp"
#include "common/image/schema/crx.pb.h"
#include "common/image/schema/sockets.pb.h"

namespace crx {

// Reads all of them through our duplicate; nothing is changed. What sk_opts_entry has no field for goes to
// crx_file_entry.socket_options. Throws Error(refused) for a filter that cannot be read (eBPF).
img::sk_opts_entry read_socket_options(const OpenFile& file, FdContext& context);

// The same of a socket that is no OpenFile; `extra` may stay as it is. object: for messages.
img::sk_opts_entry read_socket_options(int fd, const std::string& object,
                                       google::protobuf::RepeatedPtrField<img::crx_socket_option>& extra);

// Why the options of a socket that is looked at while its task runs cannot move; "" when they can. The remedy is
// kFilterRemedy.
std::string socket_option_problem(int fd);
inline constexpr char kFilterRemedy[] = "let the program detach it (SO_DETACH_FILTER)";

// getsockopt(2) of an int at any level; `otherwise` where this socket does not know the option.
int socket_int(int fd, int level, int name, int otherwise = 0);

}  // namespace crx
