#include "agent-src/migrate/session.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "agent-src/collect/files/ghost_files.hpp"
#include "agent-src/collect/kind/collector.hpp"
#include "agent-src/freeze/throttle.hpp"
#include "agent-src/migrate/migration.hpp"
#include "agent-src/preflight/used_files.hpp"
#include "agent-src/tool/worker.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/time_namespace.hpp"
#include "common/proc/stat.hpp"
#include "common/proc/status.hpp"
#include "wire/failure.hpp"
#include "wire/file_message.hpp"
#include "wire/host_info.hpp"

namespace crx {
namespace {

constexpr int64_t kAnswerMs = 30'000;
constexpr int64_t kRoundMs = 24LL * 3600 * 1000;
constexpr uint32_t kGoTimeoutMs = 30'000;
constexpr int64_t kGoodbyeMs = 3'000;

TrackerKind tracker_kind(TrackerChoice choice) {
  switch (choice) {
    case TrackerChoice::automatic:
      return TrackerKind::automatic;
    case TrackerChoice::wp_async:
      return TrackerKind::wp_async;
    case TrackerChoice::soft_dirty:
      return TrackerKind::soft_dirty;
    case TrackerChoice::hash:
      return TrackerKind::hash;
  }
  return TrackerKind::automatic;
}

ConvergenceLimits limits_of(const MigrateOptions& options) {
  ConvergenceLimits limits;
  limits.max_downtime_us = options.max_downtime_ms * 1000;
  limits.max_rounds = options.max_rounds;
  switch (options.on_no_converge) {
    case OnNoConverge::accept:
      limits.policy = NonConvergence::accept;
      break;
    case OnNoConverge::throttle:
      limits.policy = NonConvergence::throttle;
      break;
    case OnNoConverge::fail:
      limits.policy = NonConvergence::fail;
      break;
  }
  return limits;
}

HostSummary summary_of(const wire::HostInfo& host) {
  return {host.name(), host.kernel_release(), host.tool_version()};
}

// How far our kernel's clocks are ahead of the peer's. Its reading is half a round trip old when it arrives.
TimeOffsets lead_over(const wire::HostInfo& peer, int64_t rtt_us) {
  const TimeOffsets ours = time_offsets(0);
  const int64_t age_ns = rtt_us * 1000 / 2;
  return {clock_ns(CLOCK_MONOTONIC) - ours.monotonic_ns - peer.monotonic_ns() - age_ns,
          clock_ns(CLOCK_BOOTTIME) - ours.boottime_ns - peer.boottime_ns() - age_ns};
}

}  // namespace

Migration::Migration(const MigrateOptions& options, MigrationObserver& observer)
    : options_(options),
      observer_(observer),
      hook_(options.hook, options.hook_timeout_ms),
      overall_(options.timeout_ms > 0 ? Deadline::in_ms(options.timeout_ms) : Deadline::never()),
      began_us_(monotonic_us()),
      session_(make_session_id()),
      guard_(options.state_dir, session_),
      journal_(Journal::open(options.state_dir, session_)),
      // Without rounds nothing is tracked: everything goes in the freeze.
      tree_(options.pid, files_, options.max_rounds == 0 ? TrackerKind::hash : tracker_kind(options.tracker),
            options.freeze_timeout_ms, kernel_) {
  if (options.link_remap) files_.set_links(&links_);
  report_.session = session_;
  report_.pid = options.pid;
  report_.started_ns = clock_ns(CLOCK_REALTIME);
}

Migration::~Migration() = default;

HookContext Migration::hook_context() const {
  return {session_, options_.pid, peer_, "source"};
}

CollectOptions Migration::collect_options() {
  CollectOptions collect;
  collect.ghost_limit_bytes = options_.ghost_limit;
  collect.with_files = options_.with_files;
  collect.link_remap = options_.link_remap;
  collect.external_unix = options_.external_unix;
  collect.ext_unix_sk = options_.ext_unix_sk;
  collect.file_locks = options_.file_locks;
  collect.tcp_established = options_.tcp_established;
  collect.packets = &packets_;
  collect.kernel = &kernel_;
  collect.cgroups = options_.manage_cgroups == ManageCgroups::soft;
  collect.homes = &homes_;
  return collect;
}

wire::ConnectOptions Migration::connect_options() const {
  wire::ConnectOptions connect;
  connect.to = options_.to;
  connect.tls_dir = options_.tls_dir;
  connect.session = session_;
  connect.streams = options_.streams;
  connect.compress = options_.compress;
  connect.max_bandwidth = options_.max_bandwidth;
  return connect;
}

void Migration::greet() {
  comm_ = proc::parse_stat(read_file(fmt::format("/proc/{}/stat", options_.pid))).comm;
  report_.comm = comm_;
  link_ = wire::connect_source(connect_options());
  sink_ = std::make_unique<LinkPageSink>(*link_);
  wire::SessionMessage message;
  wire::Hello& hello = *message.mutable_hello();
  *hello.mutable_host() = wire::local_host_info();
  hello.set_check_only(options_.check_only);
  hello.set_verify(options_.verify);
  hello.set_wait(options_.wait);
  hello.set_compress(options_.compress);
  hello.set_with_files(options_.with_files);
  hello.set_new_pids(options_.new_pids);
  hello.set_go_timeout_ms(kGoTimeoutMs);
  hello.set_rtt_us(link_->statistics().rtt_us);
  link_->send(message);
  const auto welcome = link_->receive(Deadline::in_ms(kAnswerMs));
  if (!welcome || !welcome->has_welcome())
    throw Error(ErrorCode::peer, "greeting", options_.to.text() + " did not answer");
  peer_ = welcome->welcome().host().name();
  same_kernel_ = hello.host().boot_id() == welcome->welcome().host().boot_id();
  if (!same_kernel_) clock_lead_ = lead_over(welcome->welcome().host(), link_->statistics().rtt_us);
  report_.source = summary_of(hello.host());
  report_.destination = summary_of(welcome->welcome().host());
  HelloEvent event;
  event.session = session_;
  event.pid = options_.pid;
  event.comm = comm_;
  event.to = options_.to.text();
  event.source = report_.source;
  event.destination = report_.destination;
  event.rtt_us = link_->statistics().rtt_us;
  observer_.hello(event);
  std::vector<PreflightFinding> findings;
  for (const wire::Finding& f : wire::compare_hosts(hello.host(), welcome->welcome().host())) {
    findings.push_back({f.fatal(), peer_, f.object(), f.reason(), f.remedy()});
  }
  if (!findings.empty()) {
    observer_.preflight(findings);
    throw Error(ErrorCode::refused, "preflight", findings.front().object + " " + findings.front().reason)
        .with_hint(findings.front().remedy);
  }
}

template <typename Body>
Body Migration::expect(Deadline deadline, wire::SessionMessage::BodyCase kind, const char* step) {
  if (overall_.left_ns() < deadline.left_ns()) deadline = overall_;
  const auto message = link_->receive(deadline);
  if (!message) {
    throw Error(ErrorCode::peer, step, peer_ + " did not answer in time")
        .with_hint(overall_.passed() ? "--timeout is over" : "look at the agent's log there");
  }
  if (message->body_case() != kind) throw Error(ErrorCode::peer, step, peer_ + " broke the protocol");
  if constexpr (std::is_same_v<Body, wire::PreflightResult>) return message->preflight_result();
  if constexpr (std::is_same_v<Body, wire::RoundDone>) return message->round_done();
  if constexpr (std::is_same_v<Body, wire::Prepared>) return message->prepared();
}
template wire::PreflightResult Migration::expect<wire::PreflightResult>(Deadline, wire::SessionMessage::BodyCase,
                                                                        const char*);
template wire::Prepared Migration::expect<wire::Prepared>(Deadline, wire::SessionMessage::BodyCase, const char*);

void Migration::start_rounds() {
  group_.emplace(FreezerGroup::create_below(options_.pid, session_.substr(0, 16) + "-src"));
  guard_.guard(group_->path());
  gather();
  tree_.follow();
  report_.tracker = to_string(tree_.tracker());
  report_.tracking_stop_us = tree_.longest_stop_us();
}

// All of the tree into the group; who is born from then on is born there.
void Migration::gather() {
  std::set<pid_t> known;
  for (bool found = true; found;) {
    found = false;
    for (const TaskNode& task : list_tree(options_.pid)) {
      if (task.dead || !known.insert(task.pid).second) continue;
      found = true;
      homes_.note(task.pid);
      try {
        group_->add(task.pid);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::victim_gone || task.pid == options_.pid) throw;
      }
    }
  }
}

void Migration::await_round(uint32_t round, unsigned marks, Deadline deadline) {
  for (; marks > 0; --marks) {
    const auto done = expect<wire::RoundDone>(deadline, wire::SessionMessage::kRoundDone, "sending memory");
    if (done.round() != round) throw Error(ErrorCode::peer, "sending memory", peer_ + " confirmed another round");
  }
}

void Migration::send_round(uint32_t round) {
  const int64_t began_us = monotonic_us();
  std::optional<FrozenTree> stop;
  if (tree_.rounds().needs_stop()) {
    stop.emplace(FrozenTree::freeze(options_.pid, Deadline::in_ms(options_.freeze_timeout_ms), kernel_));
  }
  MemoryStatistics statistics = tree_.begin_round();
  if (stop) stop->thaw();
  MemoryRounds& rounds = tree_.rounds();
  const unsigned marks = send_tree(round, [&](PrecopyTask& task) {
    SpaceRounds& space = rounds.space(task.place.pid);
    if (task.memory_donor != 0) space.inherit(rounds.space(std::exchange(task.memory_donor, 0)));
    space.send_round(*sink_, statistics);
  });
  rounds.objects().send_round(*sink_, statistics);
  link_->end_round(round);
  await_round(round, marks + 1, Deadline::in_ms(kRoundMs));
  const wire::LinkStatistics now = link_->statistics();
  RoundReport& entry = report_.rounds.emplace_back();
  entry.round = round;
  entry.start_us = began_us - began_us_;
  entry.duration_us = monotonic_us() - began_us;
  entry.scan_us = statistics.scan_us;
  entry.bytes_scanned = statistics.scanned_bytes;
  entry.bytes_dirty =
      (statistics.dirty_pages - std::min(statistics.dirty_pages, statistics.unchanged_pages)) * kPageSize;
  entry.pages_sent = statistics.sent_pages;
  entry.pages_raw = now.pages_raw - last_statistics_.pages_raw;
  entry.pages_zero = now.pages_zero - last_statistics_.pages_zero;
  entry.pages_compressed = now.pages_compressed - last_statistics_.pages_compressed;
  entry.bytes_wire = now.bytes_wire - last_statistics_.bytes_wire;
  last_statistics_ = now;
  observer_.round(entry);
}

void Migration::run_rounds() {
  Convergence convergence(limits_of(options_));
  std::optional<Throttle> throttle;
  Decision decision = convergence.start();
  for (uint32_t round = 1; decision.step == NextStep::round || decision.step == NextStep::throttle; ++round) {
    throttle.reset();
    check_stop();
    if (decision.step == NextStep::throttle) throttle.emplace(*group_, decision.duty);
    send_round(round);
    const RoundReport& done = report_.rounds.back();
    decision = convergence.after({done.bytes_dirty / kPageSize, done.pages_sent, done.scan_us, done.duration_us});
    log::debug("round {}: {} pages dirty, {} us; a stop now would take {} us", round, done.bytes_dirty / kPageSize,
               done.duration_us, decision.expected_us);
  }
  if (decision.step == NextStep::fail) {
    throw Error(ErrorCode::refused, "pre-copy",
                fmt::format("the process writes faster than {} takes it: a stop would last about {} ms", peer_,
                            decision.expected_us / 1000))
        .with_hint("raise --max-downtime, or use --on-no-converge throttle or accept");
  }
}

void Migration::abort(const std::string& reason) noexcept {
  if (std::exchange(aborted_, true)) return;
  try {
    journal_.append(JournalState::aborted, reason);
    if (link_ != nullptr) {
      wire::SessionMessage message;
      message.mutable_abort()->set_reason(reason);
      link_->send(message);
    }
  } catch (const std::exception& error) {
    log::debug("telling {} that the session is over: {}", peer_, error.what());
  }
  hook_.run_noting(HookStage::aborted, hook_context());
  packets_.unblock();  // the address is back, and nothing below is the program's business
  await_goodbye();
}

// Until the destination has let go of all it had prepared: whoever tries again at once must not find his own traces
// there.
void Migration::await_goodbye() noexcept {
  const Deadline deadline = Deadline::in_ms(kGoodbyeMs);
  try {
    while (link_ != nullptr && !deadline.passed() && link_->receive(deadline)) {
    }
  } catch (const std::exception& error) {
    log::debug("the session with {} is over: {}", peer_, error.what());
  }
}

int Migration::run() {
  try {
    greet();
    journal_.append(JournalState::open, fmt::format("pid {} ({}) to {}", options_.pid, comm_, options_.to.text()));
    if (!preflight()) {
      abort("refused by preflight");
      return static_cast<int>(Outcome::refused);
    }
    if (options_.check_only) {
      abort("check only");
      return static_cast<int>(Outcome::moved);
    }
    start_rounds();
    run_rounds();
    return cut_over();
  } catch (const std::exception& error) {
    if (!decided_) abort(error.what());
    throw;
  }
}

int run_migration(const MigrateOptions& options, MigrationObserver& observer) {
  const int outcome = Migration(options, observer).run();
  try {
    prune_journals(options.state_dir, kJournalKeptNs);
  } catch (const Error& error) {
    log::warn("{}", error.what());
  }
  return outcome;
}

}  // namespace crx
