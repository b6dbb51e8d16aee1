// Packets of dumped TCP connections, which crx-dump holds back until they are revived.
#pragma once

#include "common/image/integrity.hpp"

namespace crx {

// Lets them flow again: removes the nftables table that the dump of this set left on this host. No effect where there
// is none.
void release_packets(const Manifest& manifest) noexcept;

}  // namespace crx
