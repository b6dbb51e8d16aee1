// Files of /proc: opened again by name. The process that the file belongs to must exist at the destination under its
// number, or be made there for a moment.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <vector>

#include "agent-src/collect/kind/fd_kind.hpp"
#include "agent-src/collect/kind/tree_members.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/regular.pb.h"
#include "common/proc/text.hpp"

namespace crx {
namespace {

constexpr std::string_view kProc = "/proc/";
constexpr std::string_view kTask = "task/";

struct ProcProblem {
  std::string reason, remedy;
};

// Returns the part of the path behind "/proc/".
std::string_view path_of(const OpenFile& file) {
  std::string_view path = file.link;
  path.remove_prefix(kProc.size());
  if (path.ends_with(proc::kDeleted)) path.remove_suffix(proc::kDeleted.size());
  return path;
}

// Returns the number that is the next part of the path; 0 if it is not a number.
pid_t number_at(std::string_view& path) {
  const std::string_view part = path.substr(0, path.find('/'));
  pid_t number = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
  if (error != std::errc() || end != part.data() + part.size()) return 0;
  path.remove_prefix(std::min(path.size(), part.size() + 1));
  return number;
}

// Returns the process or thread that the file belongs to if that has ended; otherwise 0.
pid_t ended_owner(const OpenFile& file) {
  std::string_view path = path_of(file);
  const pid_t pid = number_at(path);
  if (pid == 0) return 0;
  const bool has_task = path.starts_with(kTask);
  if (has_task) path.remove_prefix(kTask.size());
  const pid_t tid = has_task ? number_at(path) : 0;
  const pid_t owner = tid != 0 ? tid : pid;
  if (file.link.ends_with(proc::kDeleted)) return owner;
  // The kernel may not have marked the link as deleted yet.
  return ::access(fmt::format("/proc/{}", owner).c_str(), F_OK) == 0 ? 0 : owner;
}

std::optional<ProcProblem> problem_of(const OpenFile& file, const std::vector<pid_t>& tree_members) {
  std::string_view path = path_of(file);
  const pid_t pid = number_at(path);
  if (pid == 0 || ended_owner(file) != 0) return std::nullopt;
  if (std::find(tree_members.begin(), tree_members.end(), pid) == tree_members.end()) {
    return ProcProblem{fmt::format("it is a file about process {}, which does not move along", pid),
                       "close it before moving the program"};
  }
  if (!path.starts_with(kTask)) return std::nullopt;
  path.remove_prefix(kTask.size());
  const pid_t tid = number_at(path);
  if (tid == 0 || tid == pid) return std::nullopt;
  return ProcProblem{fmt::format("it is a file about thread {}, which is not there yet when files are opened", tid),
                     "close it before moving the program"};
}

class ProcFiles final : public FdKind {
 public:
  const char* name() const override { return "files of /proc"; }

  bool matches(const OpenFile& file) const override {
    if (!file.link.starts_with(kProc)) return false;
    struct statfs fs {};
    return ::statfs(file.proc_link().c_str(), &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
  }

  void inspect(const OpenFile& file, const std::vector<OpenFile>&, InspectContext& context) override {
    if (const auto problem = problem_of(file, tree_members_of(context))) {
      context.refusals.push_back(refusal_of(file, problem->reason, problem->remedy));
    }
  }

  void collect(OpenFile& file, FdContext& context, img::file_entry& entry) override {
    if (const auto problem = problem_of(file, tree_members_of(context.task)))
      refuse(file, problem->reason, problem->remedy);
    entry.set_type(img::REG);
    img::reg_file_entry& reg = *entry.mutable_reg();
    reg.set_id(file.id);
    reg.set_flags(file.info.flags);
    // the position in a memory file may have its highest bit set
    reg.set_pos(file.path_only() ? 0 : static_cast<uint64_t>(file.info.pos));
    *reg.mutable_fown() = read_file_owner(file);
    reg.set_name(std::string(kProc) + std::string(path_of(file)));
    reg.set_mode(file.st.st_mode);
    if (const pid_t ended = ended_owner(file); ended != 0) {
      img::remap_file_path_entry remap;
      remap.set_orig_id(file.id);
      remap.set_remap_id(static_cast<uint32_t>(ended));
      remap.set_remap_type(img::PROCFS);
      context.task.images.append(image_file::kRemapFpath, remap);
    }
  }
};

}  // namespace

FdKindPtr make_proc_files() {
  return std::make_unique<ProcFiles>();
}

}  // namespace crx
