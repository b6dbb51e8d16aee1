// Preflight: finds out what would fail on either host before the tree is touched.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "agent-src/migrate/migration_context.hpp"
#include "agent-src/migrate/source_tree.hpp"
#include "agent-src/tool/systemd_unit.hpp"
#include "common/image/claimed_memory.hpp"

namespace crx {

// As far as can be seen from outside, the tree can be moved. Only Preflight makes one. Move-only.
class Cleared {
 public:
  std::unique_ptr<SourceTree> tree;
  std::optional<SystemdUnit> unit;  // a unit that would start the original again
  bool has_addresses = false;       // TCP or UDP sockets of the tree are bound

 private:
  friend class Preflight;
  Cleared() = default;
};

// Inspects the running tree from outside and asks the destination, up to five times: the tree changes while the
// destination answers, so something that is missing there counts only if it is missing every time. Does not touch the
// tree. Single-threaded; `context` must outlive it.
class Preflight {
 public:
  explicit Preflight(MigrationContext& context);

  // Passes all findings to the observer. Returns nullopt if one of them refuses the migration. Throws Error:
  // `victim_gone`; `peer`.
  std::optional<Cleared> run() &&;

 private:
  std::vector<Refusal> refusals_here();
  std::vector<PreflightFinding> findings_here();
  std::vector<PreflightFinding> findings_there();
  void summarise(const PrecopyTask& task, wire::Preflight& preflight);
  wire::SessionMessage message();

  MigrationContext& context_;
  ClaimedMemory claimed_;  // of the tasks that the message in progress describes
  Cleared result_;
};

}  // namespace crx
