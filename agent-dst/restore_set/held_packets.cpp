#include "agent-dst/restore_set/held_packets.hpp"

#include <fmt/format.h>
#include <nftables/libnftables.h>

#include <exception>
#include <memory>

#include "common/base/journal.hpp"
#include "common/base/log.hpp"

namespace crx {

void release_packets(const Manifest& manifest) noexcept {
  // Deleting a table that does not exist takes the kernel 10 ms, so the manifest is consulted first.
  if (manifest.head().has_packets_held() && !manifest.head().packets_held()) return;
  try {
    // After a reboot, and on another host, there is no such table.
    if (manifest.head().boot_id() != read_boot_id()) return;
    const auto close = [](nft_ctx* context) { ::nft_ctx_free(context); };
    const std::unique_ptr<nft_ctx, decltype(close)> context(::nft_ctx_new(NFT_CTX_DEFAULT), close);
    if (!context) return;
    ::nft_ctx_buffer_output(context.get());
    ::nft_ctx_buffer_error(context.get());
    const std::string command = fmt::format("delete table inet crx-{}-kept\n", manifest.id_text());
    if (::nft_run_cmd_from_buffer(context.get(), command.c_str()) == 0)
      log::info("packets of the restored connections are not blocked any more");
  } catch (const std::exception& error) {
    log::warn("cannot unblock the packets of the restored connections: {}", error.what());
  }
}

}  // namespace crx
