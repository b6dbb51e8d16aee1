// Working directory, root directory and umask: fs-PID.img.
#include <fcntl.h>

#include "agent-src/collect/file_name.hpp"
#include "agent-src/collect/file_table.hpp"
#include "agent-src/collect/registry.hpp"
#include "common/base/error.hpp"
#include "common/image/files.pb.h"
#include "common/image/magic.hpp"
#include "common/proc/status.hpp"

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
      const FileName found = find_name(context.pid, read_link(link), st);
      if (can_move(found)) continue;
      context.refusals.push_back({"pid " + std::to_string(context.pid) + " " + what + " (" + found.path + ")",
                                  explain(found.state).reason, "start it in a directory that exists at both hosts"});
    }
  }

  void collect(CollectContext& context, const BatchPlan&) override {
    img::fs_entry fs;
    fs.set_cwd_id(add(context, "cwd"));
    fs.set_root_id(add(context, "root"));
    const proc::Status status = proc::parse_status(read_file(context.task.proc() + "status"));
    if (status.umask) fs.set_umask(*status.umask);
    context.images.append(image_file::fs(static_cast<uint32_t>(context.task.pid())), fs);
  }

 private:
  // A directory that was removed is made again, without a name.
  static bool can_move(const FileName& found) { return found.state == NameState::good || found.state == NameState::deleted; }

  static uint32_t add(CollectContext& context, const std::string& what) {
    const std::string link = context.task.proc() + what;
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

CollectorPtr make_fs_collector() { return std::make_unique<Fs>(); }

}  // namespace crx
