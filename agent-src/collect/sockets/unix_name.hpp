// The name of a unix socket, and the file behind it.
#pragma once

#include <string>

#include "agent-src/collect/kind/fd_kind.hpp"
#include "common/kernel/sockets/unix_diag.hpp"

namespace crx {

// Returns sun_path as text for messages: "/run/x.sock", "@abstract", "" for none.
std::string printable_name(const std::string& sun_path);

// Fills name, name_dir, deleted and file_perms, and extra.path if the file has been renamed since. Looks through our
// duplicate of the (frozen) task's descriptor. Throws Error(refused) for a file that cannot be found by its path.
void collect_unix_name(const OpenFile& file, const UnixSocketInfo& info, img::unix_sk_entry& entry,
                       img::crx_unix_socket& extra);

}  // namespace crx
