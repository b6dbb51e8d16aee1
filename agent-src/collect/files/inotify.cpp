// inotify(7): the watches with their numbers. A watched file is found by its file handle.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "agent-src/collect/files/watched_path.hpp"
#include "agent-src/collect/kind/fd_kind.hpp"
#include "common/base/error.hpp"

namespace crx {
namespace {

std::string find_watched(pid_t pid, const proc::InotifyWatch& watch) {
  return watch.handle ? find_watched_path(pid, watch.sdev, watch.inode, *watch.handle) : std::string();
}

// Whether the watched file is deleted but open in the tree: its content is carried along, and the destination finds it
// by its inode.
bool is_carried(const proc::InotifyWatch& watch, const std::vector<OpenFile>& files) {
  return std::any_of(files.begin(), files.end(), [&](const OpenFile& file) {
    return S_ISREG(file.st.st_mode) && file.st.st_nlink == 0 && file.st.st_ino == watch.inode &&
           (gnu_dev_major(file.st.st_dev) << 20 | gnu_dev_minor(file.st.st_dev)) == watch.sdev;
  });
}

class Inotifies final : public FdKind {
 public:
  const char* name() const override { return "inotify"; }
  bool matches(const OpenFile& file) const override { return file.is_anonymous("anon_inode:inotify"); }

  void inspect(const OpenFile& file, const std::vector<OpenFile>& all, InspectContext& context) override {
    for (const proc::InotifyWatch& watch : file.info.inotify) {
      if (find_watched(file.pid, watch).empty() && !is_carried(watch, all)) {
        context.refusals.push_back(refusal_of(file, lost(watch), kRemedy));
      }
    }
  }

  void collect(OpenFile& file, FdContext& context, img::file_entry& entry) override {
    int queued = 0;
    if (::ioctl(file.own.get(), FIONREAD, &queued) != 0) throw_errno("looking at inotify", file.label());
    if (queued > 0) {
      refuse(file, fmt::format("{} bytes of events wait to be read, and cannot be copied without taking them", queued),
             "try again when the program has read them");
    }
    entry.set_type(img::INOTIFY);
    img::inotify_file_entry& ify = *entry.mutable_ify();
    ify.set_id(file.id);
    ify.set_flags(file.info.flags);
    *ify.mutable_fown() = read_file_owner(file);
    for (const proc::InotifyWatch& watch : file.info.inotify) add_watch(file, watch, context.files, ify);
  }

 private:
  static constexpr char kRemedy[] = "remove the watch, or give the file a name again";
  static std::string lost(const proc::InotifyWatch& watch) {
    return fmt::format("watch {} is on inode {} of device {}:{}, whose path cannot be found", watch.wd, watch.inode,
                       watch.sdev >> 20, watch.sdev & 0xfffff);
  }

  static void add_watch(const OpenFile& file, const proc::InotifyWatch& watch, const std::vector<OpenFile>& all,
                        img::inotify_file_entry& ify) {
    const std::string path = find_watched(file.pid, watch);
    if (path.empty() && !is_carried(watch, all)) refuse(file, lost(watch), kRemedy);
    img::inotify_wd_entry& entry = *ify.add_wd();
    entry.set_id(0);
    entry.set_i_ino(watch.inode);
    entry.set_mask(watch.mask);
    entry.set_ignored_mask(watch.ignored_mask);
    entry.set_s_dev(watch.sdev);
    entry.set_wd(static_cast<uint32_t>(watch.wd));
    *entry.mutable_f_handle() = describe_handle(watch.handle ? *watch.handle : proc::FileHandle(), path);
  }
};

}  // namespace

FdKindPtr make_inotifies() {
  return std::make_unique<Inotifies>();
}

}  // namespace crx
