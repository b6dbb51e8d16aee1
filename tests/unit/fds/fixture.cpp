#include "tests/unit/fds/fixture.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-dst/restore/kind/registry.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/inventory.pb.h"
#include "common/kernel/process/pidfd.hpp"

namespace crx::test {
namespace {

constexpr int kSyncFd = 900;
constexpr int64_t kFreezeMs = 5000;

[[noreturn]] void live(const std::function<void()>& setup) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::close_range(3, kSyncFd - 1, 0);
  ::close_range(kSyncFd + 1, ~0U, 0);
  const int null = ::open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
  ::close(null);
  setup();
  ::close(kSyncFd);
  for (;;) ::pause();
}

}  // namespace

FdVictim::FdVictim(const std::function<void()>& setup) {
  int sync[2];
  REQUIRE(::pipe2(sync, O_CLOEXEC) == 0);
  pid_ = ::fork();
  REQUIRE(pid_ >= 0);
  if (pid_ == 0) {
    ::dup2(sync[1], kSyncFd);
    live(setup);
  }
  ::close(sync[1]);
  char byte = 0;
  REQUIRE(::read(sync[0], &byte, 1) == 0);  // end of file: it is ready
  ::close(sync[0]);
}

FdVictim::~FdVictim() {
  kill();
}

void FdVictim::kill() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

ImageStore collect(pid_t pid, const CollectOptions& options) {
  KernelView kernel;
  FrozenTree tree = FrozenTree::freeze(pid, Deadline::in_ms(kFreezeMs), kernel);
  CallSites sites;
  tree.inject(sites);
  FileTable files;
  ImageStore images;
  collect_tree(tree, files, options, images);
  tree.thaw();
  return images;
}

std::string collect_refusal(pid_t pid, const CollectOptions& options) {
  try {
    collect(pid, options);
    return {};
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::refused);
    return error.what();
  }
}

Restored::Restored(pid_t pid, const ImageStore& images) : opener_(make_file_opener()) {
  TaskNode task;
  task.pid = pid;
  tree_.follow({task}, {{.action = ForkAction::make_root, .vessel = pid}}, -1, shmem_.ptys());
  vessel_ = &tree_.root();
  context_.emplace(RestoreContext{tree_, *vessel_, images, *opener_, shmem_, pid, {}, {}, false, nullptr, policy_});
  context_->cores.push_back(images.read_one<img::core_entry>(image_file::core(static_cast<uint32_t>(pid))));
  context_->extra = images.read_one<img::crx_task_entry>(image_file::crx_task(static_cast<uint32_t>(pid)));
  TreeDescriptors descriptors({&*context_});
  descriptors.install();
  restorers_.push_back(make_fs_restorer());
  restorers_.push_back(make_file_locks_restorer());
  for (const auto& restorer : restorers_) restorer->prepare(*context_);
  const ArenaScope scratch(vessel_->arena());
  RemoteBatch leader = vessel_->batch(64);
  for (const auto& restorer : restorers_) restorer->plan_process(*context_, leader);
  vessel_->run_checked(leader);
  for (const auto& restorer : restorers_) restorer->after_process(*context_, leader);
  RemoteBatch thread = vessel_->batch(64);
  for (const auto& restorer : restorers_) restorer->plan_thread(*context_, 0, thread);
  vessel_->run_checked(thread);
  descriptors.set_owners();
}

Restored::~Restored() = default;

std::vector<OpenFile> Restored::files() const {
  return take_open_files({{vessel_->pid(), vessel_->pidfd()}});
}

OpenFile Restored::file(int number) const {
  for (OpenFile& file : files()) {
    for (const OpenFile::Number& it : file.numbers) {
      if (it.fd == number) return std::move(file);
    }
  }
  FAIL("no descriptor " << number);
  return {};
}

void Restored::commit() {
  for (const auto& restorer : restorers_) restorer->commit(*context_);
}

Moved::Moved(const std::function<void()>& setup, const CollectOptions& options) {
  FdVictim victim(setup);
  const pid_t pid = victim.pid();
  before = take_open_files({{pid, open_pidfd(pid).get()}});
  for (OpenFile& file : before) file.own.reset();
  images = collect(pid, options);
  victim.kill();
  after = std::make_unique<Restored>(pid, images);
}

}  // namespace crx::test
