// SOL_SOCKET options of a new socket, of any family.
#pragma once

#include <string>

#include "common/image/schema/crx.pb.h"
#include "common/image/schema/sockets.pb.h"

namespace crx {

// Sets what differs. What must be there before bind(2) (reuse of addresses, device, mark) is set by the first, too; the
// second sets everything, and comes after the queues are filled: filters, SO_PASSCRED and buffer sizes decide about
// what may be sent. Throws Error(refused) for what this host does not have or allow, Error(corrupt_image) for values
// that are none. A smaller buffer than asked for is logged. object: for messages.
void set_address_options(int fd, const img::sk_opts_entry& opts, const std::string& object);
void set_socket_options(int fd, const img::sk_opts_entry& opts,
                        const google::protobuf::RepeatedPtrField<img::crx_socket_option>& extra,
                        const std::string& object);

// setsockopt(2) of an int at any level; Error naming the option and the object.
void set_socket_int(int fd, int level, int name, int value, const char* word, const std::string& object);

}  // namespace crx
