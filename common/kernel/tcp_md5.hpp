// TCP sockets that sign their segments (TCP_MD5SIG, RFC 2385).
#pragma once

#include <cstdint>
#include <set>

namespace crx {

// Inodes of the TCP sockets of the calling thread's network namespace that have MD5 keys, as sock_diag(7) tells those who have
// CAP_NET_ADMIN. Empty where the kernel cannot tell. Time: microseconds for each socket of the host.
std::set<uint64_t> sockets_with_md5_keys();

}  // namespace crx
