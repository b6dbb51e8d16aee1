// Files of /proc: opened again by name, when the process they are about is there under its number.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <vector>

#include "agent-src/collect/fd_kind.hpp"
#include "agent-src/collect/insiders.hpp"
#include "common/image/regular.pb.h"

namespace crx {
namespace {

constexpr std::string_view kProc = "/proc/";
constexpr std::string_view kDeleted = " (deleted)";

struct Problem {
  std::string reason, remedy;
};

// The number that a part of a path is, 0 where it is none.
pid_t number_at(std::string_view& path) {
  const std::string_view part = path.substr(0, path.find('/'));
  pid_t number = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
  if (error != std::errc() || end != part.data() + part.size()) return 0;
  path.remove_prefix(std::min(path.size(), part.size() + 1));
  return number;
}

std::optional<Problem> problem_of(const OpenFile& file, const std::vector<pid_t>& insiders) {
  std::string_view path = file.link;
  path.remove_prefix(kProc.size());
  const pid_t pid = number_at(path);
  if (pid == 0) return std::nullopt;
  if (file.link.ends_with(kDeleted)) {
    return Problem{"it is a file about a process or thread that has ended", "close it before moving the program"};
  }
  if (std::find(insiders.begin(), insiders.end(), pid) == insiders.end()) {
    return Problem{fmt::format("it is a file about process {}, which does not move along", pid), "close it before moving the program"};
  }
  constexpr std::string_view kTask = "task/";
  if (!path.starts_with(kTask)) return std::nullopt;
  path.remove_prefix(kTask.size());
  const pid_t tid = number_at(path);
  if (tid == 0 || tid == pid) return std::nullopt;
  return Problem{fmt::format("it is a file about thread {}, which is not there yet when files are opened", tid),
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
    if (const auto problem = problem_of(file, insiders_of(context))) {
      context.refusals.push_back(refusal_of(file, problem->reason, problem->remedy));
    }
  }

  void collect(OpenFile& file, FdContext& context, img::file_entry& entry) override {
    if (const auto problem = problem_of(file, insiders_of(context.task))) refuse(file, problem->reason, problem->remedy);
    entry.set_type(img::REG);
    img::reg_file_entry& reg = *entry.mutable_reg();
    reg.set_id(file.id);
    reg.set_flags(file.info.flags);
    // A position in a memory file may have its highest bit set.
    reg.set_pos(file.path_only() ? 0 : static_cast<uint64_t>(file.info.pos));
    *reg.mutable_fown() = read_file_owner(file);
    reg.set_name(file.link);
    reg.set_mode(file.st.st_mode);
  }
};

}  // namespace

FdKindPtr make_proc_files() { return std::make_unique<ProcFiles>(); }

}  // namespace crx
