// inotify: watches set by path, with the numbers that the program knows.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/inotify.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "agent-dst/restore/files/event_queues.hpp"
#include "agent-dst/restore/kind/fd_restorer.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/regular.pb.h"

namespace crx {
namespace {

constexpr char kInotifyStep[] = "restoring inotify";
constexpr uint32_t kMaxWatch = 1 << 20;
constexpr uint32_t kDrainEvery = 1000;

class Inotifies final : public FdRestorer {
 public:
  const char* name() const override { return "inotify"; }
  bool matches(const img::file_entry& entry) const override { return entry.type() == img::INOTIFY && entry.has_ify(); }

  Fd open(const img::file_entry& entry, FdRestoreContext& context) override {
    const std::string object = describe("inotify", entry.id(), context);
    Fd fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!fd) throw_errno(kInotifyStep, object);
    return fd;
  }

  void opened(FdRestoreContext& context) override {
    for (const auto& [id, fd] : context.own) {
      const img::file_entry& entry = context.entries.at(id);
      if (!matches(entry)) continue;
      add_watches(fd.get(), entry, context);
      if (entry.ify().wd_size() > 0) queues_.add(fd.get(), EventQueues::Kind::inotify);
    }
  }

  // Removes events for files that we have opened and closed since, and for those that the original's end has closed.
  void resumed(FdRestoreContext&) noexcept override { queues_.empty(); }
  bool awaits_end() const override { return queues_.any(); }
  void original_ended() noexcept override { queues_.empty(); }

 private:
  void add_watches(int fd, const img::file_entry& entry, FdRestoreContext& context) {
    const std::string object = describe("inotify", entry.id(), context);
    std::vector<img::inotify_wd_entry> watches(entry.ify().wd().begin(), entry.ify().wd().end());
    std::sort(watches.begin(), watches.end(), [](const auto& a, const auto& b) { return a.wd() < b.wd(); });
    const pid_t task = context.opener_of(entry.id());
    for (const img::inotify_wd_entry& watch : watches) {
      const std::string& path = watch.f_handle().path();
      const Fd watched = path.empty() ? find_deleted(watch, context, task) : find(path, context, task);
      if (!watched || watch.wd() == 0 || watch.wd() > kMaxWatch) {
        throw Error(ErrorCode::unsupported, kInotifyStep,
                    fmt::format("{}: watch {} cannot be made again", object, watch.wd()));
      }
      const auto act = [&] { return add(fd, watch, watched.get(), object); };
      const bool added = path.empty() ? act() : context.task.files.tasks().act_on(task, watched.get(), act);
      if (!added) throw_errno(kInotifyStep, path.empty() ? object : path);
    }
    drain(fd);
    set_status_flags(fd, entry.ify().flags(), object);
  }

  // Finds a carried file without a name by the inode number it had at the source.
  static Fd find_deleted(const img::inotify_wd_entry& watch, FdRestoreContext& context, pid_t task) {
    const ImageSource& images = context.task.images;
    for (const auto& remap : images.read_all<img::remap_file_path_entry>(image_file::kRemapFpath)) {
      if (remap.remap_type() != img::GHOST) continue;
      const auto ghost = images.reader(image_file::ghost_file(remap.remap_id())).expect<img::ghost_file_entry>();
      if (ghost.ino() != watch.i_ino() ||
          (gnu_dev_major(ghost.dev()) << 20 | gnu_dev_minor(ghost.dev())) != watch.s_dev())
        continue;
      return context.task.files.locate(remap.orig_id(), task);
    }
    return {};
  }

  // If the path leads to a symbolic link, the link itself was watched.
  static Fd find(const std::string& path, FdRestoreContext& context, pid_t task) {
    Fd found = context.task.files.tasks().find(task, path, O_NOFOLLOW);
    if (found) return found;
    if (errno == ENOENT) {
      throw Error(ErrorCode::refused, kInotifyStep, path + ", which the program watches, does not exist here", ENOENT)
          .with_hint("make it, or use storage that both hosts share");
    }
    throw_errno(kInotifyStep, path);
  }

  // Returns false and leaves errno set where the kernel does not let the file be watched. The kernel assigns watch
  // numbers in ascending order, so the numbers before are taken and released again.
  static bool add(int fd, const img::inotify_wd_entry& watch, int watched, const std::string& object) {
    const std::string path = fmt::format("/proc/self/fd/{}", watched);
    for (uint32_t tries = 0;; ++tries) {
      const int got = ::inotify_add_watch(fd, path.c_str(), watch.mask() & ~uint32_t{IN_DONT_FOLLOW});
      if (got < 0) return false;
      if (static_cast<uint32_t>(got) == watch.wd()) return true;
      if (static_cast<uint32_t>(got) > watch.wd() || tries > kMaxWatch) {
        throw Error(
            ErrorCode::unsupported, kInotifyStep,
            fmt::format("{}: {} gets watch number {} instead of {}", object, watch.f_handle().path(), got, watch.wd()));
      }
      if (::inotify_rm_watch(fd, got) != 0) return false;
      if (tries % kDrainEvery == 0) drain(fd);
    }
  }

  // The kernel queues an event for each watch that was removed.
  static void drain(int fd) {
    char events[4096];
    while (::read(fd, events, sizeof events) > 0) {
    }
  }

  EventQueues queues_;
};

}  // namespace

FdRestorerPtr make_inotify_restorer() {
  return std::make_unique<Inotifies>();
}

}  // namespace crx
