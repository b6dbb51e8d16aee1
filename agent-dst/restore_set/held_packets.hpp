// Packets of dumped TCP connections, which crx-dump blocks until the connections are restored.
#pragma once

#include "common/image/integrity.hpp"

namespace crx {

// Unblocks them: removes the nftables table that the dump of this set left on this host. No effect if there is none.
void release_packets(const Manifest& manifest) noexcept;

}  // namespace crx
