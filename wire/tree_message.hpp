// Converts the processes of a tree, and the order of their forks, to messages and back.
#pragma once

#include <vector>

#include "common/plan/fork_step.hpp"
#include "common/plan/task_node.hpp"
#include "wire/messages.pb.h"

namespace crx::wire {

// is_root: the task's parent is outside of the tree and is not sent.
TaskNode to_message(const crx::TaskNode& task, bool is_root);
ForkStep to_message(const crx::ForkStep& step);

// Both check each number on its own and throw Error(peer) for one that is not a valid PID, signal or step. They do not
// check whether the numbers fit together: why_no_tree() and ForkedTree do.
std::vector<crx::TaskNode> task_nodes(const google::protobuf::RepeatedPtrField<TaskNode>& list);
ForkPlan fork_plan(const google::protobuf::RepeatedPtrField<ForkStep>& list);

}  // namespace crx::wire
