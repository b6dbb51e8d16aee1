// A migration as the destination sees it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent-dst/files/file_opener.hpp"
#include "agent-dst/ipc/engine_options.hpp"
#include "agent-dst/objects/shmem_table.hpp"
#include "agent-dst/restore/restore_tree.hpp"
#include "agent-dst/vessel/vessel_tree.hpp"
#include "common/base/error.hpp"
#include "common/base/journal.hpp"
#include "common/image/image_store.hpp"
#include "common/kernel/process/freezer_group.hpp"
#include "common/kernel/process/realtime.hpp"
#include "common/tool/hook.hpp"
#include "wire/link.hpp"

namespace crx {

// Owns the vessels; destroying it removes them unless they run. Single-threaded (it is their tracer). Every failure
// before RESUMING is reported to the source as a Failure, journalled as NEVER where PREPARED was, and ends the session.
class DestinationSession {
 public:
  DestinationSession(wire::DestinationLink& link, const EngineOptions& options);
  ~DestinationSession();

  // Serves events until the session has ended. first: an event that has been received already. The engine's exit code.
  int run(std::optional<wire::LinkEvent> first = std::nullopt);

 private:
  enum class State { greeting, receiving, prepared, resumed, ended };

  void handle(const wire::SessionMessage& message);
  void on_hello(const wire::Hello& hello);
  void on_preflight(const wire::Preflight& preflight);
  void on_layout(const wire::Layout& layout);
  void on_pages(const wire::PagesArrived& pages);
  void on_holes(const wire::Holes& holes);
  void on_round_ended(uint32_t round);
  void on_freeze();
  void on_images(const wire::Images& images);
  void on_verify(const wire::Verify& verify);
  void on_written_files(const wire::WrittenFiles& written);
  void on_prepare(const wire::Prepare& prepare);
  void await_end() noexcept;
  void await_decided(Deadline deadline);
  void join_init() noexcept;
  void on_go();
  void on_closed(const std::string& reason);

  void follow_tree(const wire::Layout& layout);
  void build(const ForkPlan& finish);
  void add_step(const char* name, int64_t us);
  void resume() noexcept;
  HookContext hook_context() const;
  void refuse_to_resume(const std::string& reason) noexcept;
  void fail(const Error& error) noexcept;

  wire::DestinationLink& link_;
  const EngineOptions& options_;
  Hook hook_;
  State state_ = State::greeting;
  int exit_code_ = 1;
  std::optional<Journal> journal_;
  wire::Hello hello_;
  std::string source_name_;

  std::optional<FreezerGroup> group_;
  std::unique_ptr<FileOpener> files_;
  ShmemTable shmem_;
  VesselTree tree_;
  std::map<pid_t, std::vector<uint64_t>> commit_charged_;
  ImageStore images_;
  std::optional<TreeRestore> restore_;
  int64_t apply_us_ = 0;
  uint32_t round_ = 0;          // of the last mark
  int64_t round_apply_us_ = 0;  // and what its parts took so far
  uint64_t pages_applied_ = 0;
  std::vector<wire::Step> steps_;
  std::vector<Realtime> realtime_;  // of what takes part, while the tree stands still
  Deadline go_deadline_ = Deadline::never();
};

}  // namespace crx
