// Working directory, root directory and umask (fs-PID.img); threads that have their own (unshare(CLONE_FS)) record
// theirs with the thread.
#include <fcntl.h>
#include <fmt/format.h>

#include "agent-src/collect/kind/file_name.hpp"
#include "agent-src/collect/kind/file_table.hpp"
#include "agent-src/collect/kind/registry.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/files.pb.h"
#include "common/kernel/process/kcmp.hpp"

namespace crx {
namespace {

class Fs final : public Collector {
 public:
  const char* name() const override { return "fs"; }

  void inspect(InspectContext& context) override {
    for (const char* what : {"cwd", "root"}) {
      const std::string link = context.proc + what;
      struct stat st {};
      if (::stat(link.c_str(), &st) != 0) throw_errno("looking at a directory", link);
      complain(context, link, st, fmt::format("pid {} {}", context.pid, what));
    }
    for (const pid_t tid : list_threads(context.pid)) {
      if (tid == context.pid || share(Shared::filesystem, context.pid, tid)) continue;
      for (const char* what : {"cwd", "root"}) {
        const std::string link = fmt::format("{}task/{}/{}", context.proc, tid, what);
        struct stat st {};
        if (::stat(link.c_str(), &st) != 0) continue;  // the thread is about to end
        complain(context, link, st, fmt::format("thread {} {}", tid, what));
      }
    }
  }

  void collect(CollectContext& context, const BatchPlan&) override {
    const pid_t pid = context.task.pid();
    img::fs_entry fs;
    fs.set_cwd_id(add(context, context.task.proc(), "cwd"));
    fs.set_root_id(add(context, context.task.proc(), "root"));
    if (context.statuses.front().umask) fs.set_umask(*context.statuses.front().umask);
    context.images.append(image_file::fs(static_cast<uint32_t>(pid)), fs);
    for (std::size_t i = 1; i < context.statuses.size(); ++i) {
      const pid_t tid = context.task.threads()[i].tid();
      if (share(Shared::filesystem, pid, tid)) continue;
      const std::string proc = fmt::format("{}task/{}/", context.task.proc(), tid);
      img::crx_thread_fs_entry& own = *context.extra_thread(i).mutable_fs();
      own.set_cwd_id(add(context, proc, "cwd"));
      own.set_root_id(add(context, proc, "root"));
      own.set_umask(context.statuses[i].umask.value_or(0));
    }
  }

 private:
  // A directory that was removed is made again, without a name.
  static bool can_move(const FileName& found) {
    return found.state == NameState::good || found.state == NameState::deleted;
  }

  static void complain(InspectContext& context, const std::string& link, const struct stat& st,
                       const std::string& whose) {
    const FileName found = find_name(context.pid, read_link(link), st);
    if (can_move(found)) return;
    context.refusals.push_back({whose + " (" + found.path + ")", explain(found.state).reason,
                                "start it in a directory that exists at both hosts"});
  }

  static uint32_t add(CollectContext& context, const std::string& proc, const std::string& what) {
    const std::string link = proc + what;
    struct stat st {};
    if (::stat(link.c_str(), &st) != 0) throw_errno("looking at a directory", link);
    const FileName found = find_name(context.task.pid(), read_link(link), st);
    if (!can_move(found)) {
      throw Error(ErrorCode::refused, "collecting the " + what, found.path + ": " + explain(found.state).reason)
          .with_pid(context.task.pid());
    }
    return context.files.add_path(link, found.path, found.state == NameState::deleted, O_RDONLY | O_DIRECTORY);
  }
};

}  // namespace

CollectorPtr make_fs_collector() {
  return std::make_unique<Fs>();
}

}  // namespace crx
