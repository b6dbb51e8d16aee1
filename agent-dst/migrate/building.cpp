#include "agent-dst/migrate/building.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/tool/fault_point.hpp"

namespace crx {

void BuildSteps::add(const char* name, int64_t us) {
  wire::Step& step = steps_.emplace_back();
  step.set_name(name);
  step.set_us(static_cast<uint64_t>(us));
}

Deadline go_deadline(const DestinationContext& context) {
  return Deadline::in_ms(std::min<int64_t>(context.hello.go_timeout_ms(), context.options.max_go_timeout_ms));
}

Prepared build_tree(std::unique_ptr<ReceivedTree>& tree, const ForkPlan& finish, BuildSteps steps,
                    DestinationContext& context) {
  const int64_t began_us = monotonic_us();
  auto restore =
      std::make_unique<TreeRestore>(tree->vessels, tree->images, *tree->files, tree->shmem, context.options.policy);
  if (context.hello.host().boot_id() == read_boot_id()) restore->expect_original();
  int64_t lap_us = monotonic_us();
  restore->build(tree->commit_charged, finish, [&](const char* name) {
    const int64_t now_us = monotonic_us();
    steps.add(name, now_us - std::exchange(lap_us, now_us));
  });
  const pid_t root = tree->vessels.root().pid();
  context.hook.run(HookStage::prepared, context.hook_context(root));
  context.journal->append(JournalState::prepared, fmt::format("pid {}", root));
  reach(FaultPoint::destination_prepared);
  const Deadline go_by = go_deadline(context);
  steps.add("rebuild", monotonic_us() - began_us);
  wire::SessionMessage answer;
  wire::Prepared& message = *answer.mutable_prepared();
  for (const wire::Step& step : steps.all()) *message.add_steps() = step;
  context.link.send(answer);
  return Prepared(std::move(tree), std::move(restore), go_by);
}

}  // namespace crx
