#include "agent-dst/migrate/committing.hpp"

#include <fmt/format.h>

#include <utility>

#include "common/base/error.hpp"
#include "common/base/log.hpp"

namespace crx {
namespace {

constexpr int64_t kFreezeMs = 10'000;
constexpr int64_t kEndMs = 5'000;  // for the original to end, when it must

// The source sends it back when the original has ended.
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

// The decision is on disk: nothing below may leave half a tree running. The group lets all tasks run at once.
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

// The tasks are frozen and outlive us: the original may go.
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

// Where the tree has a PID namespace of its own its first process ends with the last of the tree, and is in the tree's
// group: it lives on whatever happens to the group that the agent runs in.
void Resuming::join_init(const DestinationContext& context) noexcept {
  if (!context.hello.new_pids()) return;
  try {
    tree->group->add(1);
  } catch (const std::exception& error) {
    log::warn("session {}: {}", context.options.session, error.what());
  }
}

}  // namespace crx
