// Named steps of a migration at which a test makes it fail.
//
// The environment variable CRX_FAULT_POINT arms one of them: STEP=ACTION, where STEP is a name of the enumeration and
// ACTION is one of
//     kill   the process gets SIGKILL
//     stop   the process gets SIGSTOP
//     error  the step throws Error(kernel)
// Without the variable a step costs one comparison.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace crx {

enum class FaultPoint : uint8_t {
  source_locks_released,  // before the original's group is frozen
  source_group_frozen,    // before GO is journalled
  source_go_journalled,
  source_go_sent,
  source_verdict,       // the verdict has come, and nothing has been done about it
  source_original_end,  // the original has ended, and DONE is not journalled
  destination_prepared,
  destination_go,            // Go has come; before the locks and names are taken
  destination_group_frozen,  // before RESUMING is journalled
  destination_resuming,      // RESUMING is journalled; all processes are traced
  destination_released,      // no process is traced any more; before RESUMED is journalled
  destination_resumed,       // RESUMED is journalled; the tree is frozen
  destination_thawed,        // the tree runs; before the source learns of it
  destination_answered,      // Resumed has been sent
};

// The name in CRX_FAULT_POINT.
std::string_view to_string(FaultPoint point);
std::optional<FaultPoint> parse_fault_point(std::string_view text);

// Does what CRX_FAULT_POINT says if it names this step. Throws Error(kernel) for the action "error".
void reach(FaultPoint point);

}  // namespace crx
