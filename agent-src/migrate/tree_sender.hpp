// Sends the tree to the destination in rounds: the places of tasks, mappings, the files behind them, and pages.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent-src/migrate/migration_context.hpp"
#include "agent-src/migrate/source_tree.hpp"
#include "agent-src/tool/link_page_sink.hpp"
#include "common/image/image_store.hpp"
#include "common/plan/fork_plan.hpp"

namespace crx {

class SendOrder;

// Remembers what the destination has, so that it is not sent again. Single-threaded; context and tree must outlive it.
// Every function that sends throws Error(peer) if the connection is lost.
class TreeSender {
 public:
  TreeSender(MigrationContext& context, SourceTree& tree);

  // Sends layouts and pages of a round that PrecopyTree::begin_round() has begun, and the last mark (the end of a round
  // or of a part of it, see SourceLink::end_round and PROTOCOL.md, section 4). Returns the number of marks that the
  // destination has to confirm (MigrationContext::await_round).
  unsigned send_round(uint32_t round, MemoryStatistics& statistics);
  // Does the same for the last round, with holes, pages and guards of `memory`, which PrecopyTree::final_scan()
  // returned. The tree must be stopped. Changes the entries of `memory` for tasks that inherit memory.
  unsigned send_final(uint32_t round, FinalMemory& memory, MemoryStatistics& statistics);
  // Returns the steps that complete the vessels once no more layouts follow (ForkPlanner::finish).
  ForkPlan finish_forks() { return forks_.finish(); }
  // Sends the images and removes them from `images`.
  void send_images(ImageStore& images);

 private:
  using SpaceLayouts = std::map<pid_t, wire::SpaceLayout>;
  unsigned send_waves(uint32_t round, const std::function<void(PrecopyTask&)>& send_memory);
  SpaceLayouts describe_spaces();
  wire::SpaceLayout describe_space(PrecopyTask& task);
  void send_layout(uint32_t round, const SendOrder& order, SpaceLayouts& described);
  void add_changed_space(PrecopyTask& task, SpaceLayouts& described, wire::Layout& layout) const;
  bool is_news(const wire::Layout& layout);
  void send_ghosts();
  void send_holes(PageSpace space, const std::vector<PageRange>& holes, const std::vector<PageRange>& guards);

  MigrationContext& context_;
  SourceTree& tree_;
  LinkPageSink sink_;
  ForkPlanner forks_;       // knows the vessels that the destination has
  std::string last_nodes_;  // the nodes of the last layout that was sent
  std::size_t ghosts_sent_ = 0;
};

}  // namespace crx
