// Files of the namespaces that the program itself lives in (/proc/PID/ns/KIND): the destination opens those of the
// restored process. A descriptor of another namespace is refused, since it has no counterpart there.
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <array>
#include <string>
#include <string_view>

#include "agent-src/collect/kind/fd_kind.hpp"
#include "common/image/schema/regular.pb.h"

namespace crx {
namespace {

constexpr std::array<std::string_view, 8> kKinds = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};

// Returns the name by which the holder finds the same namespace as its own; empty if it is none of its own. (Links look
// like "net:[4026531840]".)
std::string own_path(const OpenFile& file) {
  for (const std::string_view kind : kKinds) {
    if (!file.link.starts_with(kind) || file.link.compare(kind.size(), 2, ":[") != 0) continue;
    std::string path = fmt::format("/proc/{}/ns/{}", file.pid, kind);
    struct stat own {};
    if (::stat(path.c_str(), &own) == 0 && own.st_dev == file.st.st_dev && own.st_ino == file.st.st_ino) return path;
  }
  return {};
}

class NamespaceFiles final : public FdKind {
 public:
  const char* name() const override { return "namespaces"; }

  bool matches(const OpenFile& file) const override {
    struct statfs fs {};
    return !file.link.starts_with('/') && !own_path(file).empty() && ::statfs(file.proc_link().c_str(), &fs) == 0 &&
           fs.f_type == NSFS_MAGIC;
  }

  void collect(OpenFile& file, FdContext&, img::file_entry& entry) override {
    entry.set_type(img::REG);
    img::reg_file_entry& reg = *entry.mutable_reg();
    reg.set_id(file.id);
    reg.set_flags(file.info.flags);
    reg.set_pos(0);
    *reg.mutable_fown() = read_file_owner(file);
    reg.set_name(own_path(file));
    reg.set_mode(file.st.st_mode);
  }
};

}  // namespace

FdKindPtr make_namespace_files() {
  return std::make_unique<NamespaceFiles>();
}

}  // namespace crx
