// fanotify: groups with their marks, set by path.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/fanotify.h>
#include <unistd.h>

#include "agent-dst/restore/files/event_queues.hpp"
#include "agent-dst/restore/kind/fd_restorer.hpp"
#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr char kFanotifyStep[] = "restoring fanotify";
// not in the headers of Linux 6.1
constexpr uint32_t kFilesystem = 0x100, kSurvives = 0x40, kEvictable = 0x200, kIgnore = 0x400;
constexpr uint32_t kOnChild = 0x08000000;

class Fanotifies final : public FdRestorer {
 public:
  const char* name() const override { return "fanotify"; }
  bool matches(const img::file_entry& entry) const override { return entry.type() == img::FANOTIFY && entry.has_ffy(); }

  Fd open(const img::file_entry& entry, FdRestoreContext& context) override {
    const std::string object = describe("fanotify", entry.id(), context);
    const img::fanotify_file_entry& ffy = entry.ffy();
    // A group that root makes sees more than one that the kernel lets an unprivileged task make (fanotify_init(2)).
    context.task.policy.check_capability(CAP_SYS_ADMIN, object);
    Fd fd(::fanotify_init(ffy.faflags() | FAN_CLOEXEC, ffy.evflags()));
    if (!fd && errno == EPERM) {
      throw Error(ErrorCode::refused, kFanotifyStep, object + " needs CAP_SYS_ADMIN", EPERM)
          .with_hint("run the destination's agent with it");
    }
    if (!fd) throw_errno(kFanotifyStep, object);
    set_status_flags(fd.get(), ffy.flags(), object);
    return fd;
  }

  // As for inotify: see there.
  void opened(FdRestoreContext& context) override {
    for (const auto& [id, fd] : context.own) {
      const img::file_entry& entry = context.entries.at(id);
      if (!matches(entry)) continue;
      const std::string object = describe("fanotify", id, context);
      for (const img::fanotify_mark_entry& mark : entry.ffy().mark())
        add(fd.get(), mark, object, context.opener_of(id), context.task.files.tasks());
      if (entry.ffy().mark_size() > 0) queues_.add(fd.get(), EventQueues::Kind::fanotify);
    }
  }
  void resumed(FdRestoreContext&) noexcept override { queues_.empty(); }
  bool awaits_end() const override { return queues_.any(); }
  void original_ended() noexcept override { queues_.empty(); }

 private:
  static void add(int fd, const img::fanotify_mark_entry& mark, const std::string& object, pid_t task,
                  const TaskFiles& files) {
    const bool on_inode = mark.type() == img::fanotify_mark_entry::INODE;
    const std::string& path = on_inode ? mark.ie().f_handle().path() : mark.me().path();
    if (path.empty())
      throw Error(ErrorCode::unsupported, kFanotifyStep, object + ": a mark without a path cannot be made again");
    const bool on_filesystem = (mark.mflags() & kFilesystem) != 0;
    const uint32_t where = on_inode ? 0 : on_filesystem ? kFilesystem : uint32_t{FAN_MARK_MOUNT};
    const uint32_t evictable = mark.mflags() & kEvictable;
    const uint32_t mask = on_inode ? mark.mask() : mark.mask() & ~kOnChild;
    // If the path leads to a symbolic link, the link itself was marked.
    const Fd marked = files.find(task, path, O_NOFOLLOW);
    if (!marked && errno == ENOENT) {
      throw Error(ErrorCode::refused, kFanotifyStep, path + ", which the program watches, does not exist here", ENOENT)
          .with_hint("make it, or use storage that both hosts share");
    }
    if (!marked) throw_errno(kFanotifyStep, path);
    const auto mark_it = [&](uint32_t flags, uint64_t which) {
      const std::string link = fmt::format("/proc/self/fd/{}", marked.get());
      const auto act = [&] { return ::fanotify_mark(fd, flags, which, AT_FDCWD, link.c_str()) == 0; };
      if (!files.act_on(task, marked.get(), act)) throw_errno(kFanotifyStep, path);
    };
    if (mask != 0) mark_it(FAN_MARK_ADD | where | evictable, mask);
    if (mark.ignored_mask() == 0) return;
    const uint32_t ignore = (mark.mflags() & kIgnore) != 0 ? kIgnore : uint32_t{FAN_MARK_IGNORED_MASK};
    mark_it(FAN_MARK_ADD | where | evictable | ignore | (mark.mflags() & kSurvives), mark.ignored_mask());
  }

  EventQueues queues_;
};

}  // namespace

FdRestorerPtr make_fanotify_restorer() {
  return std::make_unique<Fanotifies>();
}

}  // namespace crx
