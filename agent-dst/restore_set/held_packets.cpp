#include "agent-dst/restore_set/held_packets.hpp"

#include <fmt/format.h>

#include <exception>

#include "common/base/journal.hpp"
#include "common/base/log.hpp"
#include "common/kernel/sockets/packet_filter.hpp"

namespace crx {

void release_packets(const Manifest& manifest) noexcept {
  // Deleting a table that does not exist takes the kernel 10 ms, so the manifest is consulted first.
  if (manifest.head().has_packets_held() && !manifest.head().packets_held()) return;
  try {
    // After a reboot, and on another host, there is no such table.
    if (manifest.head().boot_id() != read_boot_id()) return;
    if (PacketFilter().remove_table(fmt::format("crx-{}-kept", manifest.id_text()))) {
      log::info("packets of the restored connections are not blocked any more");
    }
  } catch (const std::exception& error) {
    log::warn("cannot unblock the packets of the restored connections: {}", error.what());
  }
}

}  // namespace crx
