// inotify(7): the watches with their numbers. What is watched is found by its file handle.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include <cstring>
#include <vector>

#include "agent-src/collect/fd_kind.hpp"
#include "agent-src/collect/file_name.hpp"
#include "common/base/error.hpp"
#include "common/proc/text.hpp"

namespace crx {
namespace {

// Mount points of a device (in the kernel's encoding) as the task sees them, from /proc/PID/mountinfo:
// "36 35 98:0 /mnt1 /mnt2 rw,noatime ...".
std::vector<std::string> mounts_of(pid_t pid, uint32_t sdev) {
  std::vector<std::string> points;
  const std::string path = fmt::format("/proc/{}/mountinfo", pid);
  const std::string wanted = fmt::format("{}:{}", sdev >> 20, sdev & 0xfffff);
  const std::string text = read_file(path);
  std::string_view left = text;
  while (const auto row = proc::next_line(left)) {
    proc::Scanner line(path, *row);
    line.word();
    line.blanks().word();
    if (line.blanks().word() != wanted) continue;
    line.blanks().word();
    points.push_back(proc::unescape_octal(line.blanks().word()));
  }
  return points;
}

// The path of a watched file; empty when it cannot be found.
std::string find_watched(pid_t pid, const proc::InotifyWatch& watch) {
  if (!watch.handle) return {};
  std::vector<char> buffer(sizeof(file_handle) + watch.handle->bytes.size());
  auto* handle = reinterpret_cast<file_handle*>(buffer.data());
  handle->handle_bytes = static_cast<unsigned>(watch.handle->bytes.size());
  handle->handle_type = watch.handle->type;
  std::memcpy(buffer.data() + sizeof(file_handle), watch.handle->bytes.data(), watch.handle->bytes.size());
  for (const std::string& point : mounts_of(pid, watch.sdev)) {
    const Fd mount = try_open(fmt::format("/proc/{}/root{}", pid, point), O_RDONLY | O_NONBLOCK);
    if (!mount) continue;
    const Fd found(::open_by_handle_at(mount.get(), handle, O_PATH | O_CLOEXEC));
    struct stat st {};
    if (!found || ::fstat(found.get(), &st) != 0 || st.st_ino != watch.inode) continue;
    const FileName name = find_name(pid, read_link(fmt::format("/proc/self/fd/{}", found.get())), st);
    if (name.state == NameState::good) return name.path;
  }
  return {};
}

class Inotifies final : public FdKind {
 public:
  const char* name() const override { return "inotify"; }
  bool matches(const OpenFile& file) const override { return file.is_anonymous("anon_inode:inotify"); }

  void inspect(const OpenFile& file, const std::vector<OpenFile>&, InspectContext& context) override {
    for (const proc::InotifyWatch& watch : file.info.inotify) {
      if (find_watched(file.pid, watch).empty()) {
        context.refusals.push_back(refusal_of(file, lost(watch), kRemedy));
      }
    }
  }

  void collect(OpenFile& file, FdContext&, img::file_entry& entry) override {
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
    for (const proc::InotifyWatch& watch : file.info.inotify) add_watch(file, watch, ify);
  }

 private:
  static constexpr char kRemedy[] = "remove the watch, or give the file a name again";
  static std::string lost(const proc::InotifyWatch& watch) {
    return fmt::format("watch {} is on inode {} of device {}:{}, whose path cannot be found", watch.wd, watch.inode,
                       watch.sdev >> 20, watch.sdev & 0xfffff);
  }

  static void add_watch(const OpenFile& file, const proc::InotifyWatch& watch, img::inotify_file_entry& ify) {
    const std::string path = find_watched(file.pid, watch);
    if (path.empty()) refuse(file, lost(watch), kRemedy);
    img::inotify_wd_entry& entry = *ify.add_wd();
    entry.set_id(0);
    entry.set_i_ino(watch.inode);
    entry.set_mask(watch.mask);
    entry.set_ignored_mask(watch.ignored_mask);
    entry.set_s_dev(watch.sdev);
    entry.set_wd(static_cast<uint32_t>(watch.wd));
    img::fh_entry& handle = *entry.mutable_f_handle();
    handle.set_bytes(static_cast<uint32_t>(watch.handle->bytes.size()));
    handle.set_type(static_cast<uint32_t>(watch.handle->type));
    std::string words = watch.handle->bytes;
    words.resize(16 * sizeof(uint64_t), '\0');
    for (std::size_t at = 0; at < words.size(); at += sizeof(uint64_t)) {
      uint64_t word = 0;
      std::memcpy(&word, words.data() + at, sizeof word);
      handle.add_handle(word);
    }
    handle.set_path(path);
  }
};

}  // namespace

FdKindPtr make_inotifies() { return std::make_unique<Inotifies>(); }

}  // namespace crx
