// Preflight: what would fail, here and there, before anything is touched.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "agent-src/migrate/migration_context.hpp"
#include "agent-src/migrate/source_tree.hpp"
#include "agent-src/tool/systemd_unit.hpp"

namespace crx {

// The tree can move, as far as can be seen from outside. Only Preflight makes one. Move-only.
class Cleared {
 public:
  std::unique_ptr<SourceTree> tree;
  std::optional<SystemdUnit> unit;  // that would start the original again
  bool has_addresses = false;       // TCP or UDP sockets of the tree are bound

 private:
  friend class Preflight;
  Cleared() = default;
};

// Looks at the running tree from outside and asks the destination, up to five times: while the destination is asked
// the tree goes on, so what is missed there counts only when it is missed in every look. Nothing of the tree is
// touched. Single-threaded; `context` must outlive it.
class Preflight {
 public:
  explicit Preflight(MigrationContext& context);

  // Tells the observer all findings. Nothing where one of them refuses the migration. Throws Error: victim_gone; peer.
  std::optional<Cleared> run() &&;

 private:
  std::vector<Refusal> refusals_here();
  std::vector<PreflightFinding> findings_here();
  std::vector<PreflightFinding> findings_there();
  void summarise(const PrecopyTask& task, wire::Preflight& preflight);
  wire::SessionMessage message();

  MigrationContext& context_;
  Cleared result_;
};

}  // namespace crx
