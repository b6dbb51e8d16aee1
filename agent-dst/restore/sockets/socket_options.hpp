// The SOL_SOCKET options of a new socket of any family.
#pragma once

#include <string>

#include "common/image/schema/crx.pb.h"
#include "common/image/schema/sockets.pb.h"

namespace crx {

// Both set the options that differ. set_address_options sets those that must be there before bind(2) (reuse of
// addresses, device, mark). set_socket_options sets all, after the queues are filled, since filters, SO_PASSCRED and
// buffer sizes affect what can be sent. Throws Error(refused) for an option that this host does not have or allow,
// Error(corrupt_image) for an invalid value. A smaller buffer than requested is logged. object: the name for messages.
void set_address_options(int fd, const img::sk_opts_entry& opts, const std::string& object);
void set_socket_options(int fd, const img::sk_opts_entry& opts,
                        const google::protobuf::RepeatedPtrField<img::crx_socket_option>& extra,
                        const std::string& object);

// Calls setsockopt(2) for an int option of any level; throws Error that names the option and the object.
void set_socket_int(int fd, int level, int name, int value, const char* word, const std::string& object);

}  // namespace crx
