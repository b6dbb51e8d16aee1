// Working directory, root directory and umask.
#include <sys/stat.h>
#include <sys/syscall.h>

#include <optional>

#include "agent-dst/restore/registry.hpp"
#include "common/base/error.hpp"
#include "common/image/files.pb.h"
#include "common/image/magic.hpp"

namespace crx {
namespace {

class Fs final : public Restorer {
 public:
  const char* name() const override { return "fs"; }

  void prepare(RestoreContext& context) override {
    const auto entry = context.images.try_read_one<img::fs_entry>(image_file::fs(static_cast<uint32_t>(context.pid)));
    if (!entry) return;
    for (const auto& file : context.images.read_all<img::file_entry>(image_file::kFiles)) {
      if (file.id() == entry->cwd_id() || file.id() == entry->root_id()) context.files.add(file);
    }
    cwd_ = context.files.open(entry->cwd_id());
    root_ = context.files.open(entry->root_id());
    if (entry->has_umask()) umask_ = entry->umask();
  }

  void plan_process(RestoreContext& context, RemoteBatch& leader) override {
    if (!cwd_) return;
    if (!is_our_root(root_.get())) {
      enter(context, root_.get());
      RemoteBatch batch = context.vessel.batch(1);
      batch.add("changing the root directory", SYS_chroot, context.vessel.arena().put_string("."));
      context.vessel.run_checked(batch);
    }
    enter(context, cwd_.get());
    if (umask_) leader.add("setting the umask", SYS_umask, *umask_);
  }

  void after_process(RestoreContext&, const RemoteBatch&) override {
    cwd_.reset();
    root_.reset();
  }

 private:
  // The vessel has our root directory from its birth.
  static bool is_our_root(int fd) {
    struct stat its {};
    struct stat ours {};
    if (::fstat(fd, &its) != 0 || ::stat("/", &ours) != 0) throw_errno("looking at the root directory", "/");
    return its.st_dev == ours.st_dev && its.st_ino == ours.st_ino;
  }

  static void enter(RestoreContext& context, int directory) {
    RemoteBatch batch = context.vessel.batch(2);
    const std::size_t number = context.vessel.plan_borrow(batch, directory);
    const std::size_t change = batch.add("changing the working directory", SYS_fchdir, 0);
    batch.store_result(number, batch.argument_addr(change, 0));
    context.vessel.run_checked(batch);
    RemoteBatch last = context.vessel.batch(1);
    last.add("closing a directory", SYS_close, batch.result(number));
    context.vessel.run_checked(last);
  }

  Fd cwd_, root_;
  std::optional<uint32_t> umask_;
};

}  // namespace

RestorerPtr make_fs_restorer() { return std::make_unique<Fs>(); }

}  // namespace crx
