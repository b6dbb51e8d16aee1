#include "agent-dst/migrate/destination_session.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>
#include <variant>

#include "agent-dst/preflight/preflight.hpp"
#include "common/base/error.hpp"
#include "common/base/journal.hpp"
#include "common/base/log.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/mm.pb.h"
#include "common/image/schema/regular.pb.h"
#include "common/kernel/memory/space_digest.hpp"
#include "common/kernel/process/time_namespace.hpp"
#include "wire/failure.hpp"
#include "wire/host_info.hpp"
#include "wire/tree_message.hpp"
#include "wire/verify.hpp"

namespace crx {
namespace {

constexpr int64_t kEndMs = 5'000;  // for the original to end, when it must

std::vector<PageRange> ranges_of(const google::protobuf::RepeatedPtrField<wire::Range>& list, const char* what) {
  std::vector<PageRange> ranges;
  uint64_t last = 0;
  for (const wire::Range& range : list) {
    if (range.start() < last || range.end() <= range.start() || range.start() % kPageSize != 0 ||
        range.end() % kPageSize != 0) {
      throw Error(ErrorCode::peer, what, fmt::format("range {:#x}-{:#x} is malformed", range.start(), range.end()));
    }
    last = range.end();
    ranges.push_back({range.start(), range.end()});
  }
  return ranges;
}

template <typename Message>
Message parse(const std::string& bytes, const char* what) {
  Message message;
  if (!message.ParseFromString(bytes))
    throw Error(ErrorCode::peer, "reading a layout", std::string(what) + " does not parse");
  return message;
}

}  // namespace

DestinationSession::DestinationSession(wire::DestinationLink& link, const EngineOptions& options)
    : link_(link), options_(options), hook_(options.hook), files_(make_file_opener()) {}

DestinationSession::~DestinationSession() = default;

int DestinationSession::run(std::optional<wire::LinkEvent> first) {
  while (state_ != State::ended) {
    try {
      const auto event = first ? std::exchange(first, std::nullopt) : link_.receive(go_deadline_);
      if (!event) {
        fail(Error(ErrorCode::peer, "waiting for GO", "the source said nothing in time"));
        continue;
      }
      if (const auto* message = std::get_if<wire::SessionMessage>(&*event)) handle(*message);
      if (const auto* pages = std::get_if<wire::PagesArrived>(&*event)) on_pages(*pages);
      if (const auto* round = std::get_if<wire::RoundEnded>(&*event)) on_round_ended(round->round);
      if (const auto* closed = std::get_if<wire::LinkClosed>(&*event)) on_closed(closed->reason);
    } catch (const Error& error) {
      fail(error);
    } catch (const std::exception& error) {
      fail(Error(ErrorCode::bug, "restoring", error.what()));
    }
  }
  return exit_code_;
}

void DestinationSession::handle(const wire::SessionMessage& message) {
  if ((state_ == State::greeting) != message.has_hello()) {
    throw Error(ErrorCode::peer, "following the source", "Hello must come first, and once");
  }
  if (state_ == State::prepared && !message.has_go() && !message.has_abort()) {
    throw Error(ErrorCode::peer, "following the source", "only Go or Abort may follow Prepare");
  }
  switch (message.body_case()) {
    case wire::SessionMessage::kHello:
      return on_hello(message.hello());
    case wire::SessionMessage::kPreflight:
      return on_preflight(message.preflight());
    case wire::SessionMessage::kLayout:
      return on_layout(message.layout());
    case wire::SessionMessage::kFreeze:
      return on_freeze();
    case wire::SessionMessage::kHoles:
      return on_holes(message.holes());
    case wire::SessionMessage::kImages:
      return on_images(message.images());
    case wire::SessionMessage::kVerify:
      return on_verify(message.verify());
    case wire::SessionMessage::kWrittenFiles:
      return on_written_files(message.written_files());
    case wire::SessionMessage::kPrepare:
      return on_prepare(message.prepare());
    case wire::SessionMessage::kGo:
      return on_go();
    case wire::SessionMessage::kAbort:
      log::info("session {}: the source gave up: {}", options_.session, message.abort().reason());
      exit_code_ = 0;
      return refuse_to_resume(message.abort().reason());
    default:
      throw Error(ErrorCode::peer, "following the source", "a message that no source sends");
  }
}

void DestinationSession::on_hello(const wire::Hello& hello) {
  hello_ = hello;
  source_name_ = hello.host().name();
  journal_.emplace(Journal::open(options_.store, options_.session));
  journal_->append(JournalState::open, fmt::format("from {}", options_.peer));
  state_ = State::receiving;
  wire::SessionMessage answer;
  answer.mutable_welcome()->set_protocol(hello.protocol());
  *answer.mutable_welcome()->mutable_host() = wire::local_host_info();
  link_.send(answer);
}

void DestinationSession::on_preflight(const wire::Preflight& preflight) {
  wire::SessionMessage answer;
  wire::PreflightResult& result = *answer.mutable_preflight_result();
  for (wire::Finding& finding : check_preflight(preflight, hello_, options_))
    *result.add_findings() = std::move(finding);
  link_.send(answer);
}

void DestinationSession::follow_tree(const wire::Layout& layout) {
  if (tree_.empty()) {
    if (layout.spaces().empty()) throw Error(ErrorCode::peer, "following the source", "a layout without memory");
    unshare_time({layout.spaces(0).monotonic_ns(), layout.spaces(0).boottime_ns()});
    group_.emplace(FreezerGroup::create_below(::getpid(), group_name(options_.session)));
  }
  const bool first = tree_.empty();
  const Fd group_dir = group_->directory();
  tree_.follow(wire::task_nodes(layout.tasks()), wire::fork_plan(layout.forks()), group_dir.get(), shmem_.ptys());
  if (first && !group_dir) {
    for (const Vessel* vessel : tree_.all()) group_->add(vessel->pid());
  }
}

void DestinationSession::on_layout(const wire::Layout& layout) {
  follow_tree(layout);
  for (const wire::SpaceLayout& space : layout.spaces()) {
    Vessel& vessel = tree_.at(static_cast<pid_t>(space.space()));
    for (const std::string& bytes : space.files()) files_->add(parse<img::file_entry>(bytes, "a file entry"));
    if (images_.contains(image_file::kRemapFpath)) files_->add_ghosts(images_);
    for (const std::string& bytes : space.memfds()) shmem_.memfd(parse<img::memfd_inode_entry>(bytes, "a memfd entry"));
    for (const std::string& bytes : space.segments()) shmem_.segment(parse<img::ipc_shm_entry>(bytes, "a segment"));
    std::vector<uint64_t>& commit_charged = commit_charged_[vessel.pid()];
    commit_charged.assign(space.commit_charged().begin(), space.commit_charged().end());
    vessel.memory().apply_layout(parse<img::mm_entry>(space.mm(), "the memory description"), commit_charged, *files_,
                                 shmem_);
  }
}

void DestinationSession::on_pages(const wire::PagesArrived& pages) {
  const int64_t began_us = monotonic_us();
  if (pages.space.kind == PageSpace::Kind::shmem) {
    shmem_.write_pages(pages.space.id, pages.ranges, pages.bytes);
    shmem_.drop_pages(pages.space.id, pages.zero_ranges);
  } else {
    VesselMemory& memory = tree_.at(static_cast<pid_t>(pages.space.id)).memory();
    memory.write_pages(pages.ranges, pages.bytes);
    memory.clear_pages(pages.zero_ranges);
  }
  pages_applied_ += total_pages(pages.ranges) + total_pages(pages.zero_ranges);
  link_.release(pages.slot);
  apply_us_ += monotonic_us() - began_us;
}

void DestinationSession::on_holes(const wire::Holes& holes) {
  const std::vector<PageRange> ranges = ranges_of(holes.ranges(), "dropping pages");
  if (holes.space_kind() == static_cast<uint32_t>(PageSpace::Kind::shmem)) {
    shmem_.drop_pages(holes.space(), ranges);
  } else {
    VesselMemory& memory = tree_.at(static_cast<pid_t>(holes.space())).memory();
    memory.drop_pages(ranges);
    memory.guard_pages(ranges_of(holes.guards(), "guarding pages"));
  }
}

void DestinationSession::on_round_ended(uint32_t round) {
  wire::SessionMessage answer;
  wire::RoundDone& done = *answer.mutable_round_done();
  done.set_round(round);
  done.set_pages_applied(pages_applied_);
  done.set_apply_us(static_cast<uint64_t>(apply_us_));
  link_.send(answer);
  // A round may come in parts: what is reported is the sum.
  if (round == round_) apply_us_ += round_apply_us_;
  steps_.clear();
  add_step("apply", apply_us_);
  round_ = round;
  round_apply_us_ = std::exchange(apply_us_, 0);
  pages_applied_ = 0;
}

void DestinationSession::on_images(const wire::Images& images) {
  for (const wire::ImageFile& file : images.files()) {
    images_.erase(file.name());
    images_.insert(file.name(), file.content());
  }
}

void DestinationSession::on_verify(const wire::Verify& verify) {
  const int64_t began_us = monotonic_us();
  for (const wire::SpaceDigest& theirs : verify.spaces()) {
    const bool object = theirs.space_kind() == static_cast<uint32_t>(PageSpace::Kind::shmem);
    const pid_t pid = object ? 0 : tree_.at(static_cast<pid_t>(theirs.space())).pid();
    const SpaceDigest ours =
        object ? digest_object(shmem_.descriptor(theirs.space())) : digest_space(pid, wire::digest_ranges(pid));
    if (const auto text = wire::difference(theirs, ours)) {
      throw Error(ErrorCode::bug, "verifying memory",
                  fmt::format("{} {} is not the same on both hosts: {}",
                              object ? "shared object" : "the memory of task", theirs.space(), *text))
          .with_hint("please report this");
    }
  }
  add_step("verify", monotonic_us() - began_us);
}

void DestinationSession::on_written_files(const wire::WrittenFiles& written) {
  wire::Hello as_they_are = hello_;  // what is to be carried is not told of any more
  as_they_are.set_with_files(false);
  for (const wire::Finding& finding : check_files(written.files(), as_they_are)) {
    throw Error(ErrorCode::refused, "comparing written files", finding.object() + " " + finding.reason())
        .with_hint(finding.remedy());
  }
}

// The vessels are scheduled as the tree was when they are finished.
void DestinationSession::on_freeze() {
  if (!realtime_.empty()) throw Error(ErrorCode::peer, "following the source", "Freeze came twice");
  realtime_.emplace_back(::getpid());
  if (options_.front > 0) realtime_.emplace_back(options_.front);
  for (const Vessel* vessel : tree_.all()) make_realtime(vessel->pid());
}

void DestinationSession::on_prepare(const wire::Prepare& prepare) {
  const int64_t began_us = monotonic_us();
  build(wire::fork_plan(prepare.forks()));
  hook_.run(HookStage::prepared, hook_context());
  journal_->append(JournalState::prepared, fmt::format("pid {}", tree_.root().pid()));
  state_ = State::prepared;
  go_deadline_ = Deadline::in_ms(hello_.go_timeout_ms());
  wire::SessionMessage answer;
  wire::Prepared& prepared = *answer.mutable_prepared();
  add_step("rebuild", monotonic_us() - began_us);
  for (const wire::Step& step : steps_) *prepared.add_steps() = step;
  link_.send(answer);
  steps_.clear();
}

void DestinationSession::build(const ForkPlan& finish) {
  restore_.emplace(tree_, images_, *files_, shmem_);
  if (hello_.host().boot_id() == read_boot_id()) restore_->expect_original();
  int64_t began_us = monotonic_us();
  restore_->build(commit_charged_, finish, [&](const char* name) {
    const int64_t now_us = monotonic_us();
    add_step(name, now_us - began_us);
    began_us = now_us;
  });
}

void DestinationSession::add_step(const char* name, int64_t us) {
  wire::Step& step = steps_.emplace_back();
  step.set_name(name);
  step.set_us(static_cast<uint64_t>(us));
}

void DestinationSession::on_go() {
  if (state_ != State::prepared) throw Error(ErrorCode::peer, "following the source", "Go came before Prepared");
  const int64_t began_us = monotonic_us();
  files_->commit();
  restore_->commit();
  group_->freeze(Deadline::in_ms(10'000));
  journal_->append(JournalState::resuming, fmt::format("pid {}", restore_->root_pid()));
  state_ = State::resumed;
  exit_code_ = 0;
  resume();
  const int64_t resumed_us = monotonic_us();
  wire::SessionMessage answer;
  wire::Resumed& resumed = *answer.mutable_resumed();
  resumed.set_go_to_resume_us(static_cast<uint64_t>(resumed_us - began_us));
  resumed.set_pid(static_cast<uint32_t>(restore_->root_pid()));
  link_.send(answer);
  realtime_.clear();
  journal_->append(JournalState::resumed, fmt::format("pid {}", restore_->root_pid()));
  hook_.run_noting(HookStage::resumed, hook_context());
  state_ = State::ended;
}

HookContext DestinationSession::hook_context() const {
  return {options_.session, tree_.root_pid(), options_.peer, "destination"};
}

// The decision is on disk: nothing below may leave half a tree running. The group lets all tasks go at once.
void DestinationSession::resume() noexcept {
  hook_.run_noting(HookStage::committed, hook_context());
  files_->resumed();
  restore_->resumed();
  try {
    restore_->stop_stopped();
    tree_.release();
    if (restore_->awaits_end()) await_end();
    if (options_.root_resumed) options_.root_resumed(restore_->root_pid());
  } catch (const std::exception& error) {
    log::error("session {}: letting the process go: {}", options_.session, error.what());
  }
  try {
    group_->thaw();
  } catch (const std::exception& error) {
    log::error("session {}: the process stays frozen in {}: {}", options_.session, group_->path(), error.what());
  }
  join_init();
  restore_->join_cgroups(group_->path());
  group_->abandon();
}

// The tasks are frozen and outlive us: the original may go.
void DestinationSession::await_end() noexcept {
  try {
    wire::SessionMessage message;
    message.mutable_decided();
    link_.send(message);
    await_decided(Deadline::in_ms(kEndMs));
  } catch (const std::exception& error) {
    log::warn("session {}: {}", options_.session, error.what());
  }
  restore_->original_ended();
}

// The source says it when the original has ended.
void DestinationSession::await_decided(Deadline deadline) {
  while (const auto event = link_.receive(deadline)) {
    const auto* message = std::get_if<wire::SessionMessage>(&*event);
    if (message != nullptr && message->has_decided()) return;
    if (const auto* closed = std::get_if<wire::LinkClosed>(&*event))
      throw Error(ErrorCode::peer, "resuming", closed->reason);
  }
  throw Error(ErrorCode::peer, "resuming", "the source does not say that the original has ended");
}

// Where the tree has a PID namespace of its own its first process ends with the last of the tree, and lives where it
// does: whatever happens to the group that the agent runs in.
void DestinationSession::join_init() noexcept {
  if (!hello_.new_pids()) return;
  try {
    group_->add(1);
  } catch (const std::exception& error) {
    log::warn("session {}: {}", options_.session, error.what());
  }
}

void DestinationSession::on_closed(const std::string& reason) {
  log::warn("session {}: the source is gone: {}", options_.session, reason);
  refuse_to_resume("the source is gone: " + reason);
}

void DestinationSession::refuse_to_resume(const std::string& reason) noexcept {
  try {
    if (journal_ && (state_ == State::prepared || state_ == State::receiving))
      journal_->append(JournalState::never, reason);
    if (state_ == State::prepared) {
      wire::SessionMessage answer;
      answer.mutable_never()->set_reason(reason);
      link_.send(answer);
    }
    if (state_ != State::resumed && !tree_.empty()) hook_.run_noting(HookStage::aborted, hook_context());
  } catch (const std::exception& error) {
    log::debug("ending session {}: {}", options_.session, error.what());
  }
  state_ = State::ended;
}

void DestinationSession::fail(const Error& error) noexcept {
  log::error("session {}: {}", options_.session, error.what());
  try {
    if (state_ == State::receiving || state_ == State::greeting) link_.send(wire::failure_message(error));
  } catch (const std::exception& other) {
    log::debug("reporting the failure: {}", other.what());
  }
  refuse_to_resume(error.what());
}

}  // namespace crx
