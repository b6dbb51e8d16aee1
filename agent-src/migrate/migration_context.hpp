// The state that all phases of one migration share: connection, options, report, journal, observer and deadlines.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "agent-src/collect/sockets/tcp_block.hpp"
#include "agent-src/freeze/guard.hpp"
#include "agent-src/memory/space_rounds.hpp"
#include "agent-src/migrate/round_progress.hpp"
#include "agent-src/report/events.hpp"
#include "agent-src/tool/migrate_options.hpp"
#include "common/base/clock.hpp"
#include "common/base/journal.hpp"
#include "common/base/step_clock.hpp"
#include "common/kernel/process/thawed_groups.hpp"
#include "common/kernel/process/time_namespace.hpp"
#include "common/session/source_session.hpp"
#include "common/tool/hook.hpp"
#include "wire/link.hpp"
#include "wire/source/connect.hpp"

namespace crx {

// The destination, as greet() describes it.
struct Peer {
  std::string name;
  bool same_kernel = false;  // both hosts are this kernel, so both see the same files and inodes
  TimeOffsets clock_lead;    // the time by which this kernel's clocks are ahead of the peer's; zero on one kernel
};

// The object is made before the first phase and destroyed after the last; phases keep a reference. The only part of the
// tree's state that it holds is the block on the tree's packets, which abort() has to remove. Single-threaded, except
// for the link's own threads.
class MigrationContext {
 public:
  // Opens the journal of a new session and starts its guard process; the caller must not have threads yet. `options`
  // and `observer` must outlive the object. Throws Error.
  MigrationContext(const MigrateOptions& options, MigrationObserver& observer);
  MigrationContext(const MigrationContext&) = delete;
  MigrationContext& operator=(const MigrationContext&) = delete;
  ~MigrationContext();

  const MigrateOptions& options;
  MigrationObserver& observer;
  const Hook hook;
  const Deadline overall;  // --timeout
  const int64_t began_us;  // the start, as monotonic_us()
  const std::string session;
  Guard guard;  // precedes the journal, since its child must not inherit the journal's lock
  Journal journal;
  ThawedGroups thawed;        // with --thaw; frozen again when the move is over, whatever came of it
  SourceSession description;  // as it is in the journal
  MigrationReport report;
  Peer peer;
  std::unique_ptr<wire::SourceLink> link;  // empty until greet() has connected
  std::optional<RoundProgress> progress;   // covers the round that is being sent while the tree runs
  TcpBlock packets{session};               // blocks the tree's TCP packets once its connections are being collected
  bool decided = false;                    // GO is in the journal: abort() has no effect any more

  // Waits for the next message, which must be of this kind, until `deadline` or --timeout expires. Reports `progress`
  // while it waits. Throws Error(peer) that names `step` if no message or another one arrives, and Error(refused) if
  // crx-migrate is told to stop meanwhile. To be called before the decision.
  wire::SessionMessage expect(wire::SessionMessage::BodyCase kind, Deadline deadline, const char* step);
  // Waits until the destination has confirmed `marks` ends of this round (SourceLink::end_round). Throws Error(peer).
  void await_round(uint32_t round, unsigned marks, Deadline deadline);
  // Adds a round to the report that began at `began_us` (monotonic_us) and ends now: the memory's figures, and the
  // amount that the link has sent since the previous round. The result stays valid until the next call.
  RoundReport& add_round(int64_t began_us, const MemoryStatistics& statistics);

  // Ends the phase of the report that is being measured (kPhases), at now_us (monotonic_us).
  void end_phase(int64_t now_us = monotonic_us());
  // For a migration that ends without done(): ends the phase in which it is, and shows the report to the observer. Only
  // the first call has an effect. Precedes failed().
  void stop_short();
  // Notifies the observer of an outcome that no exception reports.
  void fail(Outcome outcome, const std::string& message, ErrorCode code);

  // Ends the session before the decision; only the first call has an effect, and none has one after the decision.
  // Writes ABORTED, notifies the destination, runs the hook `aborted`, lets packets flow, and waits until the
  // destination has released all that it had prepared (kGoodbyeMs at most), so that a new attempt does not find it. The
  // tree must run again already, unless a write lease was released (TreeLocks).
  void abort(const std::string& reason) noexcept;

  HookContext hook_context() const;
  wire::ConnectOptions connect_options() const;

 private:
  void await_goodbye() noexcept;

  StepClock phases_{report.phases, began_us};
  bool shown_ = false;  // the observer has the report of a migration that did not come to be
  bool aborted_ = false;
  wire::LinkStatistics last_statistics_;  // the figures at the end of the last round
};

}  // namespace crx
