#include "agent-src/migrate/migration_context.hpp"

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

#include "agent-src/recover/resolve_session.hpp"
#include "agent-src/tool/worker.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/tool/fault_point.hpp"

namespace crx {
namespace {

constexpr int64_t kGoodbyeMs = 3'000;

}  // namespace

MigrationContext::MigrationContext(const MigrateOptions& chosen, MigrationObserver& watcher)
    : options(chosen),
      observer(watcher),
      hook(chosen.hook, chosen.hook_timeout_ms),
      overall(chosen.timeout_ms > 0 ? Deadline::in_ms(chosen.timeout_ms) : Deadline::never()),
      began_us(monotonic_us()),
      session(chosen.session.empty() ? make_session_id() : chosen.session),
      guard(chosen.state_dir, session,
            [this] {
              resolve_session({options.state_dir, session, std::nullopt, {}, {}, {}});
            }),
      journal(Journal::open(chosen.state_dir, session)) {
  report.session = session;
  report.pid = options.pid;
  report.started_ns = clock_ns(CLOCK_REALTIME);
}

MigrationContext::~MigrationContext() = default;

HookContext MigrationContext::hook_context() const {
  return {session, options.pid, peer.name, "source"};
}

wire::ConnectOptions MigrationContext::connect_options() const {
  wire::ConnectOptions connect;
  connect.to = options.to;
  connect.tls_dir = options.tls_dir;
  connect.tls_crl = options.tls_crl;
  connect.session = session;
  connect.streams = options.streams;
  connect.compress = options.compress;
  connect.max_bandwidth = options.max_bandwidth;
  return connect;
}

wire::SessionMessage MigrationContext::expect(wire::SessionMessage::BodyCase kind, Deadline deadline,
                                              const char* step) {
  if (overall.left_ns() < deadline.left_ns()) deadline = overall;
  std::optional<wire::SessionMessage> message;
  while (!message && !deadline.passed()) {
    message = link->receive(Deadline::in_ms(std::min(RoundProgress::kEveryMs, deadline.left_ns() / 1'000'000 + 1)));
    if (message) break;
    if (progress) progress->look();
    check_stop();
  }
  if (!message) {
    throw Error(ErrorCode::peer, step, peer.name + " did not answer in time")
        .with_hint(overall.passed() ? "--timeout is over" : "look at the agent's log there");
  }
  if (message->body_case() != kind) throw Error(ErrorCode::peer, step, peer.name + " broke the protocol");
  return std::move(*message);
}

void MigrationContext::await_round(uint32_t round, unsigned marks, Deadline deadline) {
  for (; marks > 0; --marks) {
    const wire::SessionMessage message = expect(wire::SessionMessage::kRoundDone, deadline, "sending memory");
    if (message.round_done().round() != round)
      throw Error(ErrorCode::peer, "sending memory", peer.name + " confirmed another round");
  }
}

RoundReport& MigrationContext::add_round(int64_t round_began_us, const MemoryStatistics& statistics) {
  const wire::LinkStatistics now = link->statistics();
  RoundReport& entry = report.rounds.emplace_back();
  entry.round = static_cast<uint32_t>(report.rounds.size());
  entry.start_us = round_began_us - began_us;
  entry.duration_us = monotonic_us() - round_began_us;
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
  return entry;
}

void MigrationContext::end_phase(int64_t now_us) {
  if (report.phases.size() == kPhases.size()) return;
  phases_.lap(kPhases.at(report.phases.size()), now_us);
  report.total_us = now_us - began_us;
}

void MigrationContext::stop_short() {
  if (std::exchange(shown_, true)) return;
  end_phase();
  if (link != nullptr) {
    const wire::LinkStatistics statistics = link->statistics();
    report.pages_sent = statistics.pages_raw + statistics.pages_zero + statistics.pages_compressed;
    report.bytes_raw = statistics.bytes_raw;
    report.bytes_wire = statistics.bytes_wire;
  }
  report.compress = options.compress;
  observer.stopped_short(report);
}

void MigrationContext::fail(Outcome outcome, const std::string& message, ErrorCode code) {
  stop_short();
  observer.failed({outcome, session, options.pid, message, code});
}

void MigrationContext::abort(const std::string& reason) noexcept {
  if (decided || std::exchange(aborted_, true)) return;
  try {
    reach(FaultPoint::source_final_record);
    if (journal.last()) journal.append(JournalState::aborted, reason);  // else the session never began
  } catch (const std::exception& error) {
    log::error("session {}: ABORTED is not in the journal: {}", session, error.what());
  }
  try {
    if (link != nullptr) {
      wire::SessionMessage message;
      message.mutable_abort()->set_reason(reason);
      link->send(message);
    }
  } catch (const std::exception& error) {
    log::debug("telling {} that the session is over: {}", peer.name, error.what());
  }
  hook.run_noting(HookStage::aborted, hook_context());
  // Packets may flow only after the hook has brought the program's address back.
  packets.unblock();
  await_goodbye();
}

void MigrationContext::await_goodbye() noexcept {
  const Deadline deadline = Deadline::in_ms(kGoodbyeMs);
  try {
    while (link != nullptr && !deadline.passed() && link->receive(deadline)) {
    }
  } catch (const std::exception& error) {
    log::debug("the session with {} is over: {}", peer.name, error.what());
  }
}

}  // namespace crx
