// What all phases of one migration share: connection, options, report, journal, observer and deadlines.
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
#include "common/kernel/process/time_namespace.hpp"
#include "common/tool/hook.hpp"
#include "wire/link.hpp"
#include "wire/source/connect.hpp"

namespace crx {

// The destination, as greet() learns it.
struct Peer {
  std::string name;
  bool same_kernel = false;  // it runs on this kernel, so files and inodes are the same ones
  TimeOffsets clock_lead;    // of this kernel's clocks over the destination's; zero on one kernel
};

// Made before the first phase and destroyed after the last; phases keep a reference. It holds nothing of the tree but
// the block of its packets, which abort() has to lift. Single-threaded but for what the link does by itself.
class MigrationContext {
 public:
  // Opens the journal of a new session and starts its guard; the caller must not have threads yet. `options` and
  // `observer` must outlive the object. Throws Error.
  MigrationContext(const MigrateOptions& options, MigrationObserver& observer);
  MigrationContext(const MigrationContext&) = delete;
  MigrationContext& operator=(const MigrationContext&) = delete;
  ~MigrationContext();

  const MigrateOptions& options;
  MigrationObserver& observer;
  const Hook hook;
  const Deadline overall;  // --timeout
  const int64_t began_us;  // monotonic_us() of the start
  const std::string session;
  Guard guard;  // before the journal: its child must not hold the journal's lock
  Journal journal;
  MigrationReport report;
  Peer peer;
  std::unique_ptr<wire::SourceLink> link;  // empty until greet() has connected
  std::optional<RoundProgress> progress;   // of the round that is being sent while the tree runs
  TcpBlock packets{session};               // blocks the tree's TCP packets from their collection on
  bool decided = false;                    // GO is in the journal: abort() does nothing any more

  // The next message, which must be of this kind; at the latest when `deadline` or --timeout is over. Throws
  // Error(peer) naming `step` where there is none or another one. Looks after `progress` while it waits.
  wire::SessionMessage expect(wire::SessionMessage::BodyCase kind, Deadline deadline, const char* step);
  // Waits until the destination has confirmed `marks` ends of this round (SourceLink::end_round). Throws Error(peer).
  void await_round(uint32_t round, unsigned marks, Deadline deadline);
  // Adds the round that began at `began_us` (monotonic_us) and ends now to the report: the memory's figures and what
  // the link has sent since the round before.
  RoundReport& add_round(int64_t began_us, const MemoryStatistics& statistics);

  // Ends the session before the decision, once: writes ABORTED, tells the destination, runs the hook `aborted`, lets
  // packets flow, and waits (kGoodbyeMs at most) until the destination has released all that it had prepared, so that
  // a new attempt does not find it. The tree must run already, but for what a lent lease demands (TreeLocks). After
  // the decision it does nothing.
  void abort(const std::string& reason) noexcept;

  HookContext hook_context() const;
  wire::ConnectOptions connect_options() const;

 private:
  void await_goodbye() noexcept;

  bool aborted_ = false;
  wire::LinkStatistics last_statistics_;  // at the end of the last round
};

}  // namespace crx
