// Working directory, root directory and umask, also of threads that have their own.
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <map>
#include <optional>
#include <set>

#include "agent-dst/restore/kind/registry.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/files.pb.h"

namespace crx {
namespace {

struct Place {
  Fd cwd, root;
  std::optional<uint32_t> umask;
};

class Fs final : public Restorer {
 public:
  const char* name() const override { return "fs"; }
  std::string image(const RestoreContext& context) const override {
    return image_file::fs(static_cast<uint32_t>(context.pid));
  }

  void prepare(RestoreContext& context) override {
    const auto entry = context.images.try_read_one<img::fs_entry>(image_file::fs(static_cast<uint32_t>(context.pid)));
    std::set<uint32_t> wanted;
    if (entry) wanted.insert({entry->cwd_id(), entry->root_id()});
    for (const img::crx_thread_entry& thread : context.extra.threads()) {
      if (thread.has_fs()) wanted.insert({thread.fs().cwd_id(), thread.fs().root_id()});
    }
    if (wanted.empty()) return;
    for (const auto& file : context.images.read_all<img::file_entry>(image_file::kFiles)) {
      if (wanted.contains(file.id())) context.files.add(file);
    }
    if (entry) {
      places_[0] = {locate(entry->cwd_id(), context), locate(entry->root_id(), context), std::nullopt};
      if (entry->has_umask()) places_[0].umask = entry->umask();
    }
    for (int i = 1; i < context.extra.threads_size(); ++i) {
      const img::crx_thread_entry& thread = context.extra.threads(i);
      if (!thread.has_fs()) continue;
      places_[static_cast<std::size_t>(i)] = {locate(thread.fs().cwd_id(), context),
                                              locate(thread.fs().root_id(), context), thread.fs().umask()};
    }
  }

  void plan_process(RestoreContext& context, RemoteBatch& leader) override {
    const auto own = places_.find(0);
    if (own == places_.end()) return;
    // The vessel is forked with our root directory.
    if (!is_same(own->second.root.get(), "/")) change_root(context, 0, own->second.root.get());
    enter(context, 0, own->second.cwd.get());
    if (own->second.umask) leader.add("setting the umask", SYS_umask, *own->second.umask);
  }

  // Threads begin with the directories of the process; they are set one after the other, since each borrows descriptors
  // for a moment.
  void after_thread(RestoreContext& context, std::size_t thread, const RemoteBatch&) override {
    const auto own = places_.find(thread);
    if (thread == 0 || own == places_.end()) return;
    run(context, thread, "having directories of its own", SYS_unshare, CLONE_FS);
    change_root(context, thread, own->second.root.get());
    enter(context, thread, own->second.cwd.get());
    if (own->second.umask) run(context, thread, "setting the umask", SYS_umask, *own->second.umask);
  }

  void plan_last(RestoreContext&, std::size_t, RemoteBatch&) override { places_.clear(); }

 private:
  // A task need not be able to read its directories.
  static Fd locate(uint32_t id, RestoreContext& context) { return context.files.locate(id, context.pid); }

  static bool is_same(int fd, const char* path) {
    struct stat its {};
    struct stat ours {};
    if (::fstat(fd, &its) != 0 || ::stat(path, &ours) != 0) throw_errno("looking at the root directory", path);
    return its.st_dev == ours.st_dev && its.st_ino == ours.st_ino;
  }

  static void run_checked(RestoreContext& context, std::size_t thread, RemoteBatch& batch) {
    context.vessel.process().thread(thread).run(batch);
    batch.check_all();
  }

  template <typename Argument>
  static void run(RestoreContext& context, std::size_t thread, const char* what, long nr, Argument argument) {
    RemoteBatch batch = context.vessel.batch(1);
    batch.add(what, nr, argument);
    run_checked(context, thread, batch);
  }

  static void change_root(RestoreContext& context, std::size_t thread, int directory) {
    enter(context, thread, directory);
    run(context, thread, "changing the root directory", SYS_chroot, context.vessel.arena().put_string("."));
  }

  static void enter(RestoreContext& context, std::size_t thread, int directory) {
    RemoteBatch batch = context.vessel.batch(2);
    const std::size_t number = context.vessel.descriptors().plan_borrow(batch, directory);
    const std::size_t change = batch.add("changing the working directory", SYS_fchdir, 0);
    batch.store_result(number, batch.argument_addr(change, 0));
    run_checked(context, thread, batch);
    run(context, thread, "closing a directory", SYS_close, static_cast<uint64_t>(batch.result(number)));
  }

  std::map<std::size_t, Place> places_;  // keyed by thread index; [0] is the process's
};

}  // namespace

RestorerPtr make_fs_restorer() {
  return std::make_unique<Fs>();
}

}  // namespace crx
