// inotify: watches by path, under the numbers the program knows.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "agent-dst/restore/fd_restorer.hpp"
#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr char kStep[] = "restoring inotify";
constexpr uint32_t kMaxWatch = 1 << 20;
constexpr uint32_t kDrainEvery = 1000;

class Inotifies final : public FdRestorer {
 public:
  const char* name() const override { return "inotify"; }
  bool matches(const img::file_entry& entry) const override { return entry.type() == img::INOTIFY && entry.has_ify(); }

  Fd open(const img::file_entry& entry, FdRestoreContext& context) override {
    const std::string object = describe("inotify", entry.id(), context);
    Fd fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!fd) throw_errno(kStep, object);
    std::vector<img::inotify_wd_entry> watches(entry.ify().wd().begin(), entry.ify().wd().end());
    std::sort(watches.begin(), watches.end(), [](const auto& a, const auto& b) { return a.wd() < b.wd(); });
    for (const img::inotify_wd_entry& watch : watches) add(fd.get(), watch, object);
    drain(fd.get());
    set_status_flags(fd.get(), entry.ify().flags(), object);
    return fd;
  }

 private:
  // The kernel gives numbers in ascending order: those before are taken and given back.
  static void add(int fd, const img::inotify_wd_entry& watch, const std::string& object) {
    const std::string& path = watch.f_handle().path();
    if (path.empty() || watch.wd() == 0 || watch.wd() > kMaxWatch) {
      throw Error(ErrorCode::unsupported, kStep, fmt::format("{}: watch {} cannot be made again", object, watch.wd()));
    }
    for (uint32_t tries = 0;; ++tries) {
      const int got = ::inotify_add_watch(fd, path.c_str(), watch.mask());
      if (got < 0 && errno == ENOENT) {
        throw Error(ErrorCode::refused, kStep, path + ", which the program watches, does not exist here", ENOENT)
            .with_hint("make it, or use storage that both hosts share");
      }
      if (got < 0) throw_errno(kStep, path);
      if (static_cast<uint32_t>(got) == watch.wd()) return;
      if (static_cast<uint32_t>(got) > watch.wd() || tries > kMaxWatch) {
        throw Error(ErrorCode::unsupported, kStep,
                    fmt::format("{}: {} gets watch number {} instead of {}", object, path, got, watch.wd()));
      }
      if (::inotify_rm_watch(fd, got) != 0) throw_errno(kStep, path);
      if (tries % kDrainEvery == 0) drain(fd);
    }
  }

  // The kernel tells about each watch that was taken away.
  static void drain(int fd) {
    char events[4096];
    while (::read(fd, events, sizeof events) > 0) {
    }
  }
};

}  // namespace

FdRestorerPtr make_inotify_restorer() { return std::make_unique<Inotifies>(); }

}  // namespace crx
