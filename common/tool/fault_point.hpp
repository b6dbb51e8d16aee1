// Named steps of a migration at which a test makes it fail.
//
// The environment variable CRX_FAULT_POINT arms some of them: STEP=ACTION, separated by commas, where STEP is a name of
// the enumeration and ACTION is one of
//     kill      the process gets SIGKILL
//     stop      the process gets SIGSTOP, once, so that a test can act meanwhile, and then kill or continue it
//     error     the step throws Error(kernel)
//     nospace   the step throws Error(kernel) with ENOSPC
//     nomemory  the step throws std::bad_alloc
// Without the variable a step costs one comparison.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace crx {

enum class FaultPoint : uint8_t {
  source_greeted,         // the session is open, and nothing has been done to the tree
  source_cleared,         // preflight has found nothing
  source_gathered,        // the tree is in its cgroup, and is not tracked
  source_tracking,        // changes of memory are tracked
  source_round,           // a round before the stop has been sent
  source_frozen,          // the tree is stopped
  source_state_sent,      // the state has been sent, and the memory has not
  source_memory_sent,     // everything has been sent; before Prepare
  source_prepared,        // the destination has built the tree
  source_locks_released,  // before the original's group is frozen
  source_group_frozen,    // before GO is journalled
  source_go_journalled,
  source_go_sent,
  source_verdict,       // the verdict has come, and nothing has been done about it
  source_original_end,  // the original has ended, and DONE is not journalled
  source_final_record,  // before DONE or ABORTED is journalled, by whichever process
  destination_greeted,
  destination_surveyed,  // preflight's answers have been made, and are not sent
  destination_layout,    // a layout has been applied
  destination_round,     // the pages of a round have been stored
  destination_building,  // before the tree is built
  destination_prepared,
  destination_go,            // Go has come; before the locks and names are taken
  destination_group_frozen,  // before RESUMING is journalled
  destination_resuming,      // RESUMING is journalled; all processes are traced
  destination_released,      // no process is traced any more; before RESUMED is journalled
  destination_resumed,       // RESUMED is journalled; the tree is frozen
  destination_thawed,        // the tree runs; before the source learns of it
  destination_answered,      // Resumed has been sent
  destination_settlement,    // before the supervisor journals NEVER, RESUMED or LOST
};

// The name in CRX_FAULT_POINT.
std::string_view to_string(FaultPoint point);
std::optional<FaultPoint> parse_fault_point(std::string_view text);

// Does what CRX_FAULT_POINT says if it names this step; "stop" removes the variable, so the caller must be
// the only thread that uses the environment. Throws as the action says.
void reach(FaultPoint point);

}  // namespace crx
