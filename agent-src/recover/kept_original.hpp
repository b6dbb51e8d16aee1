// The original of a migration whose crx-migrate has ended, frozen in its control group.
#pragma once

#include <optional>
#include <vector>

#include "common/kernel/process/freezer_group.hpp"
#include "common/session/held_locks.hpp"
#include "common/session/source_session.hpp"

namespace crx {

// Leaves the original as it is until one of the functions is called. Single-threaded.
class KeptOriginal {
 public:
  // Nothing if the group is gone or holds no process: the original has ended. Throws Error.
  static std::optional<KeptOriginal> find(const SourceSession& description);
  KeptOriginal(KeptOriginal&&) noexcept = default;
  KeptOriginal& operator=(KeptOriginal&&) = delete;
  ~KeptOriginal();

  bool is_frozen() const { return group_.is_frozen(); }
  // Kills all processes without letting them execute another instruction, and removes the group. Their TCP connections
  // end without a packet. A systemd unit is stopped first. Throws Error if a process does not end.
  void end() &&;
  // Takes these file locks of its processes back, thaws them, moves them to their homes, and removes the group. Throws
  // Error; the processes stay frozen if a lock cannot be taken.
  void resume(const std::vector<HeldLock>& locks) &&;

 private:
  KeptOriginal(FreezerGroup group, SourceSession description)
      : group_(std::move(group)), description_(std::move(description)) {}

  FreezerGroup group_;
  SourceSession description_;
};

}  // namespace crx
