#include "agent-dst/migrate/committing.hpp"

#include <fmt/format.h>

#include <utility>

#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/base/scope_exit.hpp"
#include "common/kernel/process/freezer_group.hpp"
#include "common/session/decided_tree.hpp"
#include "common/systemd/scope.hpp"
#include "common/tool/fault_point.hpp"

namespace crx {
namespace {

constexpr int64_t kFreezeMs = 10'000;
constexpr int64_t kEndMs = 5'000;  // for the original to end, where the tree has to wait for that

// Waits for the message Decided, which the source sends back when the original has ended. Throws Error(peer) if
// anything else comes, or nothing in time.
void await_decided(wire::DestinationLink& link, Deadline deadline) {
  if (const auto event = link.receive(deadline)) {
    const auto* message = std::get_if<wire::SessionMessage>(&*event);
    if (message != nullptr && message->has_decided()) return;
    const auto* closed = std::get_if<wire::LinkClosed>(&*event);
    throw Error(ErrorCode::peer, "resuming", closed != nullptr ? closed->reason : "the source broke the protocol");
  }
  throw Error(ErrorCode::peer, "resuming", "the source does not say that the original has ended");
}

}  // namespace

Resuming Prepared::on(const wire::Go&, DestinationContext& context) {
  const int64_t began_us = monotonic_us();
  reach(FaultPoint::destination_go);
  tree->files->commit();
  restore_->commit();
  context.hook.run_noting(HookStage::committed, context.hook_context(tree->vessels.root_pid()));
  tree->group->freeze(Deadline::in_ms(kFreezeMs));
  const FreezerGroup& group = *tree->group;
  DecidedTree decided{restore_->root_pid(), group.members().size(), group.path(), false, context.hello.stay_frozen()};
  reach(FaultPoint::destination_group_frozen);
  context.journal->append(JournalState::resuming, to_detail(decided));
  return {std::move(tree), std::move(restore_), std::move(decided), began_us};
}

void Resuming::run(DestinationContext& context) {
  // Where a step fails, the group stays as it is, so that no part of the tree runs.
  const ScopeExit leave([this] { tree->group->abandon(); });
  reach(FaultPoint::destination_resuming);
  release(context);
  reach(FaultPoint::destination_released);
  context.journal->append(JournalState::resumed, to_detail(decided_));
  reach(FaultPoint::destination_resumed);
  let_run(context);
  reach(FaultPoint::destination_thawed);
  const int64_t resumed_us = monotonic_us();
  wire::SessionMessage answer;
  wire::Resumed& resumed = *answer.mutable_resumed();
  resumed.set_go_to_resume_us(static_cast<uint64_t>(resumed_us - began_us_));
  resumed.set_pid(static_cast<uint32_t>(restore_->root_pid()));
  context.link.send(answer);
  reach(FaultPoint::destination_answered);
  tree->calm_down();
  decided_.runs = true;
  context.journal->append(JournalState::resumed, to_detail(decided_));
  join_scope(context);
  context.hook.run_noting(HookStage::resumed, context.hook_context(tree->vessels.root_pid()));
}

// Detaches all threads, whose processes stay frozen in the group, and lets the source end the original where the tree
// has to wait for that. If the engine dies meanwhile, the kernel kills the processes that are still traced; the
// supervisor then ends the others (finish_decided()).
void Resuming::release(DestinationContext& context) {
  tree->files->resumed();
  restore_->resumed();
  restore_->stop_stopped();
  tree->vessels.release();
  if (restore_->awaits_end()) end_original(context);
}

// Lets the tree run: thawing the group lets all of its tasks run at once. A tree that was frozen at the source stays in
// the group, since its own control groups are not frozen.
void Resuming::let_run(DestinationContext& context) {
  FreezerGroup& group = *tree->group;
  if (!decided_.stay_frozen) group.thaw();
  if (context.options.root_resumed) context.options.root_resumed(restore_->root_pid());
  join_init(context);
  if (decided_.stay_frozen) {
    log::info("session {}: the tree was frozen at the source, and stays so in the control group {}",
              context.options.session, group.path());
    return;
  }
  if (!systemd_runs()) restore_->join_cgroups(group.path());
}

// Where systemd runs, all control groups are its own, and a stop of the agent's unit must not concern the tree: so the
// tree gets a scope, in which this engine ends, in place of the groups that it had at the source.
void Resuming::join_scope(const DestinationContext& context) noexcept {
  if (decided_.stay_frozen || !systemd_runs()) return;
  const std::string& group = tree->group->path();
  try {
    move_to_scope("crx-" + group_name(context.options.session) + ".scope",
                  fmt::format("process {}, moved here by crx from {}", restore_->root_pid(), context.options.peer),
                  group);
  } catch (const std::exception& error) {
    log::warn("session {}: the tree gets no scope of its own: {}", context.options.session, error.what());
    restore_->join_cgroups(group);
  }
}

// Lets the source end the original: the tasks here are frozen, and survive the engine's end.
void Resuming::end_original(DestinationContext& context) noexcept {
  try {
    wire::SessionMessage message;
    message.mutable_decided();
    context.link.send(message);
    await_decided(context.link, Deadline::in_ms(kEndMs));
  } catch (const std::exception& error) {
    log::warn("session {}: {}", context.options.session, error.what());
  }
  restore_->original_ended();
}

// Moves the first process of the tree's own PID namespace, if it has one, into the tree's cgroup. That process ends
// when the last process of the tree has ended, and must survive the end of the cgroup in which the agent runs.
void Resuming::join_init(const DestinationContext& context) noexcept {
  if (!context.hello.new_pids()) return;
  try {
    tree->group->add(1);
  } catch (const std::exception& error) {
    log::warn("session {}: {}", context.options.session, error.what());
  }
}

}  // namespace crx
