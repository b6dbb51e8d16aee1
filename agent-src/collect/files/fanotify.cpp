// fanotify(7): groups without permission events, with their marks.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>

#include <optional>
#include <string>

#include "agent-src/collect/files/watched_path.hpp"
#include "agent-src/collect/kind/fd_kind.hpp"
#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr uint32_t kPermissionEvents = 0x10000 | 0x20000 | 0x40000 | 0x100000;  // FAN_OPEN_PERM, ..., FAN_PRE_ACCESS
constexpr uint32_t kFilesystemMark = 0x100;                                     // FAN_MARK_FILESYSTEM
constexpr uint32_t kDeviceBits = 20;

struct Problem {
  std::string reason, remedy;
};

class Fanotifies final : public FdKind {
 public:
  const char* name() const override { return "fanotify"; }
  bool matches(const OpenFile& file) const override { return file.is_anonymous("anon_inode:[fanotify]"); }

  void inspect(const OpenFile& file, const std::vector<OpenFile>&, InspectContext& context) override {
    if (const auto problem = problem_of(file))
      context.refusals.push_back(refusal_of(file, problem->reason, problem->remedy));
  }

  void collect(OpenFile& file, FdContext&, img::file_entry& entry) override {
    if (const auto problem = problem_of(file)) refuse(file, problem->reason, problem->remedy);
    int queued = 0;
    if (::ioctl(file.own.get(), FIONREAD, &queued) != 0) throw_errno("looking at fanotify", file.label());
    if (queued > 0) {
      refuse(file, fmt::format("{} bytes of events wait to be read, and cannot be copied without taking them", queued),
             "try again when the program has read them");
    }
    entry.set_type(img::FANOTIFY);
    img::fanotify_file_entry& ffy = *entry.mutable_ffy();
    ffy.set_id(file.id);
    ffy.set_flags(file.info.flags);
    *ffy.mutable_fown() = read_file_owner(file);
    ffy.set_faflags(file.info.fanotify->flags);
    ffy.set_evflags(file.info.fanotify->event_flags);
    for (const proc::FanotifyInfo::Mark& mark : file.info.fanotify->marks) add_mark(file.pid, mark, *ffy.add_mark());
  }

 private:
  using Mark = proc::FanotifyInfo::Mark;

  static std::optional<Problem> problem_of(const OpenFile& file) {
    if (!file.info.fanotify)
      return Problem{"the kernel does not tell what it watches", "close it before moving the program"};
    for (const Mark& mark : file.info.fanotify->marks) {
      if ((mark.mask & kPermissionEvents) != 0) {
        return Problem{"it decides about what other programs may open", "close it before moving the program"};
      }
      if (path_of(file.pid, mark).empty()) {
        return Problem{fmt::format("a mark is on inode {} of device {}:{}, whose path cannot be found", mark.inode,
                                   mark.sdev >> kDeviceBits, mark.sdev & ((1U << kDeviceBits) - 1)),
                       "remove the mark, or give the file a name again"};
      }
    }
    return std::nullopt;
  }

  static std::string path_of(pid_t pid, const Mark& mark) {
    if (mark.mount_id) return mount_point(pid, *mark.mount_id);
    if (mark.handle) return find_watched_path(pid, mark.sdev, mark.inode, *mark.handle);
    const std::vector<std::string> points =
        mark.inode == 0 ? mounts_of_device(pid, mark.sdev) : std::vector<std::string>();
    return points.empty() ? std::string() : points.front();
  }

  static void add_mark(pid_t pid, const Mark& mark, img::fanotify_mark_entry& entry) {
    const bool on_inode = !mark.mount_id && mark.handle.has_value();
    const bool on_filesystem = !mark.mount_id && !on_inode;
    const std::string path = path_of(pid, mark);
    entry.set_id(0);
    entry.set_type(on_inode ? img::fanotify_mark_entry::INODE : img::fanotify_mark_entry::MOUNT);
    entry.set_mflags(mark.mark_flags | (on_filesystem ? kFilesystemMark : 0));
    entry.set_mask(mark.mask);
    entry.set_ignored_mask(mark.ignored_mask);
    entry.set_s_dev(mark.sdev);
    if (on_inode) {
      entry.mutable_ie()->set_i_ino(mark.inode);
      *entry.mutable_ie()->mutable_f_handle() = describe_handle(*mark.handle, path);
    } else {
      entry.mutable_me()->set_mnt_id(mark.mount_id.value_or(0));
      entry.mutable_me()->set_path(path);
    }
  }
};

}  // namespace

FdKindPtr make_fanotifies() {
  return std::make_unique<Fanotifies>();
}

}  // namespace crx
