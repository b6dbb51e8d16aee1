#include "agent-dst/migrate/committing.hpp"

#include <fmt/format.h>

#include <utility>

#include "common/base/error.hpp"
#include "common/base/log.hpp"

namespace crx {
namespace {

constexpr int64_t kFreezeMs = 10'000;
constexpr int64_t kEndMs = 5'000;  // for the original to end, where the tree has to wait for that

// Waits for the message Decided, which the source sends back when the original has ended.
void await_decided(wire::DestinationLink& link, Deadline deadline) {
  while (const auto event = link.receive(deadline)) {
    const auto* message = std::get_if<wire::SessionMessage>(&*event);
    if (message != nullptr && message->has_decided()) return;
    if (const auto* closed = std::get_if<wire::LinkClosed>(&*event))
      throw Error(ErrorCode::peer, "resuming", closed->reason);
  }
  throw Error(ErrorCode::peer, "resuming", "the source does not say that the original has ended");
}

}  // namespace

Resuming Prepared::on(const wire::Go&, DestinationContext& context) {
  const int64_t began_us = monotonic_us();
  tree->files->commit();
  restore_->commit();
  tree->group->freeze(Deadline::in_ms(kFreezeMs));
  context.journal->append(JournalState::resuming, fmt::format("pid {}", restore_->root_pid()));
  return {std::move(tree), std::move(restore_), began_us};
}

void Resuming::run(DestinationContext& context) {
  let_run(context);
  const int64_t resumed_us = monotonic_us();
  const std::string detail = fmt::format("pid {}", restore_->root_pid());
  wire::SessionMessage answer;
  wire::Resumed& resumed = *answer.mutable_resumed();
  resumed.set_go_to_resume_us(static_cast<uint64_t>(resumed_us - began_us_));
  resumed.set_pid(static_cast<uint32_t>(restore_->root_pid()));
  context.link.send(answer);
  tree->realtime.clear();
  context.journal->append(JournalState::resumed, detail);
  context.hook.run_noting(HookStage::resumed, context.hook_context(tree->vessels.root_pid()));
}

// Lets the tree run. The decision is on disk, so no failure here may leave only a part of the tree running: thawing the
// cgroup lets all tasks run at once.
void Resuming::let_run(DestinationContext& context) noexcept {
  const std::string& session = context.options.session;
  context.hook.run_noting(HookStage::committed, context.hook_context(tree->vessels.root_pid()));
  tree->files->resumed();
  restore_->resumed();
  try {
    restore_->stop_stopped();
    tree->vessels.release();
    if (restore_->awaits_end()) end_original(context);
    if (context.options.root_resumed) context.options.root_resumed(restore_->root_pid());
  } catch (const std::exception& error) {
    log::error("session {}: releasing the process: {}", session, error.what());
  }
  FreezerGroup& group = *tree->group;
  try {
    group.thaw();
  } catch (const std::exception& error) {
    log::error("session {}: the process stays frozen in {}: {}", session, group.path(), error.what());
  }
  join_init(context);
  restore_->join_cgroups(group.path());
  group.abandon();
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
