// Converts the processes of a tree, and the order of their forks, to messages and back.
#pragma once

#include <vector>

#include "common/plan/fork_step.hpp"
#include "common/plan/task_node.hpp"
#include "wire/messages.pb.h"

namespace crx::wire {

// is_root: its parent is outside of the tree, and is not sent.
TaskNode to_message(const crx::TaskNode& task, bool is_root);
ForkStep to_message(const crx::ForkStep& step);

// Throw Error(peer) for numbers that are none of a process, a signal, or a step. What they mean together is checked by
// why_no_tree() and ForkedTree.
std::vector<crx::TaskNode> task_nodes(const google::protobuf::RepeatedPtrField<TaskNode>& list);
ForkPlan fork_plan(const google::protobuf::RepeatedPtrField<ForkStep>& list);

}  // namespace crx::wire
