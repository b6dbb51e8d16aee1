// A victim with descriptors of its own, frozen and collected; and a vessel in which they are restored.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent-dst/restore/descriptors.hpp"
#include "agent-src/collect/kind/collector.hpp"
#include "agent-src/collect/kind/file_table.hpp"
#include "agent-src/freeze/frozen_task.hpp"
#include "agent-src/tree/open_file.hpp"
#include "common/image/image_store.hpp"
#include "tests/unit/temp_dir.hpp"

namespace crx::test {

// A child process that has run `setup` with no descriptors but /dev/null at 0, 1 and 2, and then waits forever.
class FdVictim {
 public:
  explicit FdVictim(const std::function<void()>& setup);
  ~FdVictim();
  FdVictim(const FdVictim&) = delete;
  pid_t pid() const { return pid_; }
  // Kills and reaps it.
  void kill();

 private:
  pid_t pid_ = 0;
};

// Freezes, injects, collects and releases the victim.
ImageStore collect(pid_t pid, const CollectOptions& options = {});
// Returns the refusal that collect() throws, as one sentence; empty if it throws none. The victim is released in any
// case.
std::string collect_refusal(pid_t pid, const CollectOptions& options = {});

// A vessel with the victim's PID (the victim must have ended), with all descriptors restored.
class Restored {
 public:
  Restored(pid_t pid, const ImageStore& images);
  ~Restored();
  Vessel& vessel() { return *vessel_; }
  std::vector<OpenFile> files() const;
  // Returns the open file under a number; fails the test if there is none.
  OpenFile file(int number) const;
  void commit();

 private:
  std::unique_ptr<FileOpener> opener_;
  ShmemTable shmem_;
  const Policy policy_;
  VesselTree tree_;
  Vessel* vessel_ = nullptr;
  std::optional<RestoreContext> context_;
  std::vector<std::unique_ptr<Restorer>> restorers_;
};

// Moves the victim that `setup` makes.
class Moved {
 public:
  explicit Moved(const std::function<void()>& setup, const CollectOptions& options = {});
  std::vector<OpenFile> before;  // without duplicates
  ImageStore images;
  std::unique_ptr<Restored> after;
};

}  // namespace crx::test
