// One migration while it is under way; the inside of session.cpp, preflight.cpp, layout.cpp, cutover.cpp and
// commit.cpp.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent-src/collect/ipc/sysv_ipc.hpp"
#include "agent-src/collect/kind/file_table.hpp"
#include "agent-src/collect/kind/link_remaps.hpp"
#include "agent-src/collect/process/cgroups.hpp"
#include "agent-src/collect/sockets/tcp_block.hpp"
#include "agent-src/freeze/frozen_tree.hpp"
#include "agent-src/freeze/guard.hpp"
#include "agent-src/memory/convergence.hpp"
#include "agent-src/migrate/precopy_tree.hpp"
#include "agent-src/report/events.hpp"
#include "agent-src/tool/link_page_sink.hpp"
#include "agent-src/tool/migrate_options.hpp"
#include "agent-src/tool/systemd_unit.hpp"
#include "common/base/journal.hpp"
#include "common/image/image_store.hpp"
#include "common/kernel/introspect/kernel_view.hpp"
#include "common/kernel/process/freezer_group.hpp"
#include "common/kernel/process/time_namespace.hpp"
#include "common/tool/hook.hpp"
#include "wire/link.hpp"
#include "wire/source/connect.hpp"

namespace crx {

class SendOrder;
class TreeLocks;

// Steps in the order in which session.cpp calls them; each leaves the victim running unharmed when it throws.
// Single-threaded but for what the link does by itself.
class Migration {
 public:
  Migration(const MigrateOptions& options, MigrationObserver& observer);
  ~Migration();

  // Whole migration; the exit code.
  int run();

 private:
  // --- before anything is touched (session.cpp, preflight.cpp) ---
  void greet();
  bool preflight();  // false: refused, findings were shown
  wire::SessionMessage preflight_message();
  std::vector<PreflightFinding> findings_here();
  std::vector<PreflightFinding> findings_there();
  // --- rounds ---
  void start_rounds();
  void gather();
  void run_rounds();
  void send_round(uint32_t round);
  // --- what the vessels follow (layout.cpp) ---
  using SpaceLayouts = std::map<pid_t, wire::SpaceLayout>;
  SpaceLayouts describe_spaces();
  unsigned send_tree(uint32_t round, const std::function<void(PrecopyTask&)>& send_memory);
  void send_layout(uint32_t round, const SendOrder& order, SpaceLayouts& described);
  wire::SpaceLayout describe_space(PrecopyTask& task);
  void send_ghosts();
  void send_images(ImageStore& images);
  void await_round(uint32_t round, unsigned marks, Deadline deadline);
  // --- the stop (cutover.cpp) ---
  int cut_over();
  void last_round(FrozenTree& tree, TreeLocks& locks);
  void send_last_holes(PageSpace space, const std::vector<PageRange>& holes, const std::vector<PageRange>& guards);
  unsigned send_last_memory(uint32_t round, FinalMemory& memory, MemoryStatistics& statistics);
  void collect(FrozenTree& tree);
  void send_digests(const FinalMemory& memory);
  void send_written_files();
  void prepare();
  // --- the decision (commit.cpp) ---
  int commit(FrozenTree& tree, TreeLocks& locks);
  bool take_back(TreeLocks& locks);
  int finish(FrozenTree& tree, const wire::Resumed& resumed, int64_t go_us);
  void end_original(FrozenTree& tree) noexcept;
  void remove_original(FrozenTree& tree) noexcept;
  int wait_for_exit();
  std::optional<wire::Resumed> await_verdict(FrozenTree& tree, TreeLocks& locks, Deadline deadline, std::string& why);

  template <typename Body>
  Body expect(Deadline deadline, wire::SessionMessage::BodyCase kind, const char* step);
  HookContext hook_context() const;
  CollectOptions collect_options();
  void abort(const std::string& reason) noexcept;
  void await_goodbye() noexcept;
  wire::ConnectOptions connect_options() const;

  const MigrateOptions& options_;
  KernelView kernel_{!options_.no_kernel_introspection};
  MigrationObserver& observer_;
  Hook hook_;
  Deadline overall_;
  int64_t began_us_;
  std::string session_;
  Guard guard_;  // before the journal: its child must not hold the lock
  Journal journal_;
  MigrationReport report_;
  bool decided_ = false;  // GO is journalled
  bool aborted_ = false;

  std::string comm_, peer_;
  bool same_kernel_ = false;
  TimeOffsets clock_lead_;  // of this kernel over the destination's; zero on one kernel
  LinkRemaps links_{session_.substr(0, 16)};
  FileTable files_;
  CgroupHomes homes_;
  PrecopyTree tree_;
  std::string last_places_;
  std::size_t ghosts_sent_ = 0;
  std::vector<img::file_lock_entry> file_locks_;
  IpcLeftovers ipc_leftovers_;
  std::optional<SystemdUnit> unit_;  // that restarts the original
  std::unique_ptr<wire::SourceLink> link_;
  std::unique_ptr<LinkPageSink> sink_;
  std::optional<FreezerGroup> group_;
  bool has_addresses_ = false;  // TCP or UDP sockets of the tree have, as preflight saw it
  TcpBlock packets_{session_};  // from the collection of TCP connections on
  wire::LinkStatistics last_statistics_;
};

}  // namespace crx
