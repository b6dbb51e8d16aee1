#include "agent-dst/migrate/receiving.hpp"

#include <fmt/format.h>

#include <utility>

#include "agent-dst/preflight/preflight.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/journal.hpp"
#include "common/kernel/memory/space_digest.hpp"
#include "common/tool/fault_point.hpp"
#include "wire/host_info.hpp"
#include "wire/tree_message.hpp"
#include "wire/verify.hpp"

namespace crx {
namespace {

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

bool is_object(uint32_t space_kind) {
  return space_kind == static_cast<uint32_t>(PageSpace::Kind::shmem);
}

constexpr int64_t kWrittenFilesMs = 120'000;  // as long as a source waits for Prepared

bool is_same_kernel(const DestinationContext& context) {
  return context.hello.host().boot_id() == read_boot_id();
}

ReadLimit read_limit(DestinationContext& context, int64_t ms) {
  ReadLimit limit;
  limit.ms = ms;
  limit.session_has_ended = [&link = context.link] { return link.has_ended(); };
  return limit;
}

// A crx-migrate of this very host has the journal of the session, unless its --state is another folder.
Journal open_journal(const DestinationContext& context) {
  try {
    return Journal::open(context.options.store, context.options.session);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::refused || !is_same_kernel(context)) throw;
    throw Error(ErrorCode::refused, "opening a journal",
                "the destination is the very host on which the program runs: crx-migrate has the journal in use")
        .with_hint("give --to the address of another host");
  }
}

}  // namespace

Surveying Greeting::on(const wire::Hello& hello, DestinationContext& context) {
  context.hello = hello;
  context.journal.emplace(open_journal(context));
  context.journal->append(JournalState::open, fmt::format("from {}", context.options.peer));
  wire::SessionMessage answer;
  answer.mutable_welcome()->set_protocol(hello.protocol());
  *answer.mutable_welcome()->mutable_host() = wire::local_host_info();
  context.link.send(answer);
  reach(FaultPoint::destination_greeted);
  return {};
}

std::optional<Surveyed> Surveying::on(const wire::Preflight& preflight, DestinationContext& context) {
  wire::SessionMessage answer;
  wire::PreflightResult& result = *answer.mutable_preflight_result();
  bool refused = false;
  const EngineOptions& options = context.options;
  TaskFiles files = task_files_of(preflight, options.policy);
  FileComparison comparison(files, is_same_kernel(context), read_limit(context, ReadLimit().ms));
  const std::vector<wire::Finding> findings = check_preflight(preflight, context.hello, options, comparison);
  for (const wire::Finding& finding : findings) {
    refused = refused || finding.fatal();
    *result.add_findings() = finding;
  }
  FileRules rules{options.policy, options.store + "/.ghosts", carry_permits(preflight, findings, options.policy),
                  std::move(files)};
  reach(FaultPoint::destination_surveyed);
  context.link.send(answer);
  if (refused) return std::nullopt;
  return Surveyed(options.policy, std::move(rules));
}

void Surveyed::on(const wire::Freeze&, DestinationContext& context) {
  tree->become_urgent(context.options);
}

void Surveyed::on(const wire::Images& images, DestinationContext&) {
  tree->add_images(images);
}

Receiving Surveyed::on(const wire::Layout& layout, DestinationContext& context) {
  tree->apply_layout(layout, context);
  reach(FaultPoint::destination_layout);
  return Receiving(std::move(tree));
}

void Receiving::on(const wire::Layout& layout, DestinationContext& context) {
  tree->apply_layout(layout, context);
}

void Receiving::on(const wire::Freeze&, DestinationContext& context) {
  tree->become_urgent(context.options);
}

void Receiving::on(const wire::Images& images, DestinationContext&) {
  tree->add_images(images);
}

void Receiving::on(const wire::PagesArrived& pages, DestinationContext& context) {
  const int64_t began_us = monotonic_us();
  tree->write_pages(pages);
  pages_applied_ += total_pages(pages.ranges) + total_pages(pages.zero_ranges);
  context.link.release(pages.slot);
  apply_us_ += monotonic_us() - began_us;
}

void Receiving::on(const wire::Holes& holes, DestinationContext&) {
  const std::vector<PageRange> ranges = ranges_of(holes.ranges(), "dropping pages");
  const bool object = is_object(holes.space_kind());
  tree->drop_pages({object ? PageSpace::Kind::shmem : PageSpace::Kind::mm, holes.space()}, ranges);
  if (!object) {
    VesselMemory& memory = tree->vessels.at(static_cast<pid_t>(holes.space())).memory();
    memory.guard_pages(ranges_of(holes.guards(), "guarding pages"));
  }
}

void Receiving::on(const wire::RoundEnded& ended, DestinationContext& context) {
  reach(FaultPoint::destination_round);
  wire::SessionMessage answer;
  wire::RoundDone& done = *answer.mutable_round_done();
  done.set_round(ended.round);
  done.set_pages_applied(pages_applied_);
  done.set_apply_us(static_cast<uint64_t>(apply_us_));
  context.link.send(answer);
  // A round may arrive in parts: the report contains the sum of their times.
  if (ended.round == round_) apply_us_ += round_apply_us_;
  steps_ = {};
  steps_.add("apply", apply_us_);
  round_ = ended.round;
  round_apply_us_ = std::exchange(apply_us_, 0);
  pages_applied_ = 0;
}

void Receiving::on(const wire::Verify& verify, DestinationContext&) {
  const int64_t began_us = monotonic_us();
  for (const wire::SpaceDigest& theirs : verify.spaces()) {
    const bool object = is_object(theirs.space_kind());
    const pid_t pid = object ? 0 : tree->vessels.at(static_cast<pid_t>(theirs.space())).pid();
    const SpaceDigest ours =
        object ? digest_object(tree->shmem.descriptor(theirs.space())) : digest_space(pid, wire::digest_ranges(pid));
    if (const auto text = wire::difference(theirs, ours)) {
      throw Error(ErrorCode::bug, "verifying memory",
                  fmt::format("{} {} is not the same on both hosts: {}",
                              object ? "shared object" : "the memory of task", theirs.space(), *text))
          .with_hint("please report this");
    }
  }
  steps_.add("verify", monotonic_us() - began_us);
}

void Receiving::on(const wire::WrittenFiles& written, DestinationContext& context) {
  // The list does not contain files that are carried along.
  FileComparison comparison(tree->files->tasks(), is_same_kernel(context), read_limit(context, kWrittenFilesMs));
  for (const wire::Finding& finding : check_files(written.files(), false, context.options.policy, comparison)) {
    throw Error(ErrorCode::refused, "comparing written files", finding.object() + " " + finding.reason())
        .with_hint(finding.remedy());
  }
}

Prepared Receiving::on(const wire::Prepare& prepare, DestinationContext& context) {
  reach(FaultPoint::destination_building);
  return build_tree(tree, wire::fork_plan(prepare.forks()), std::move(steps_), context);
}

}  // namespace crx
