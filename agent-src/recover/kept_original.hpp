// The original of a migration whose crx-migrate has ended, frozen in its control group.
#pragma once

#include <string>

#include "common/kernel/process/freezer_group.hpp"
#include "common/session/source_session.hpp"

namespace crx {

// Leaves the original as it is until one of the functions is called. Single-threaded.
class KeptOriginal {
 public:
  // Nothing if the group is gone or holds no process: the original has ended. session: the id. Throws Error.
  static std::optional<KeptOriginal> find(const SourceSession& description, const std::string& session);
  KeptOriginal(KeptOriginal&&) noexcept = default;
  KeptOriginal& operator=(KeptOriginal&&) = delete;
  ~KeptOriginal();

  // Kills all processes without letting them execute another instruction, and removes the group. Their TCP connections
  // end without a packet. A systemd unit is stopped first. Throws Error if a process does not end.
  void end() &&;
  // Thaws the processes, moves them to the group above, and removes the group. Throws Error.
  void resume() &&;

 private:
  KeptOriginal(FreezerGroup group, SourceSession description, std::string table)
      : group_(std::move(group)), description_(std::move(description)), table_(std::move(table)) {}
  void release_packets() noexcept;

  FreezerGroup group_;
  SourceSession description_;
  std::string table_;  // the nftables table that keeps packets of its connections blocked, if there is one
};

}  // namespace crx
