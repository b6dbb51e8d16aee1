// Files that have (or had) a name: regular files, directories, and every file opened with O_PATH.
#include <fcntl.h>

#include <algorithm>

#include "agent-src/collect/files/ghost_files.hpp"
#include "agent-src/collect/kind/fd_kind.hpp"
#include "agent-src/collect/kind/file_name.hpp"
#include "common/base/digest.hpp"
#include "common/image/schema/regular.pb.h"

namespace crx {
namespace {

// O_TMPFILE (which contains O_DIRECTORY) made an unnamed file in a directory; the file itself is opened without it.
uint32_t reopen_flags(uint32_t flags) {
  return (flags & O_TMPFILE) == O_TMPFILE ? flags & ~static_cast<uint32_t>(O_TMPFILE) : flags;
}

class RegularFiles final : public FdKind {
 public:
  const char* name() const override { return "regular files"; }

  bool matches(const OpenFile& file) const override {
    if (!file.link.starts_with('/') || file.link.starts_with("/secretmem")) return false;
    return S_ISREG(file.st.st_mode) || S_ISDIR(file.st.st_mode) ||
           (file.path_only() && (file.st.st_mode & S_IFMT) != 0);
  }

  void inspect(const OpenFile& file, const std::vector<OpenFile>&, InspectContext& context) override {
    const FileName found = find_name(file.pid, file.link, file.st);
    if (found.state == NameState::good) return;
    if (found.state == NameState::deleted) {
      if (auto problem = ghost_problem(file.st, context.options.ghost_limit_bytes)) {
        context.refusals.push_back(refusal_of(file, problem->reason, problem->remedy));
      }
      return;
    }
    if (found.state == NameState::unlinked && context.options.link_remap) return;
    const NameProblem problem = explain(found.state);
    context.refusals.push_back(refusal_of(file, problem.reason, problem.remedy));
  }

  void collect(OpenFile& file, FdContext& context, img::file_entry& entry) override {
    const FileName found = find_name(file.pid, file.link, file.st);
    if (found.state == NameState::deleted) {
      if (const auto problem = ghost_problem(file.st, context.task.options.ghost_limit_bytes)) {
        refuse(file, problem->reason, problem->remedy);
      }
      context.task.files.add_deleted(deleted_file(file, file.id, found.path), file.st);
    } else if (found.state == NameState::unlinked && context.task.files.links() != nullptr) {
      context.task.files.add_linked(file.id, file.proc_link(), found.path, file.st);
    } else if (found.state == NameState::good && S_ISREG(file.st.st_mode) &&
               context.task.files.is_carried(found.path)) {
      context.task.files.add_deleted({file.id, file.proc_link(), found.path}, file.st);
    } else if (found.state != NameState::good) {
      const NameProblem problem = explain(found.state);
      refuse(file, problem.reason, problem.remedy);
    }
    entry.set_type(img::REG);
    img::reg_file_entry& reg = *entry.mutable_reg();
    reg.set_id(file.id);
    reg.set_flags(reopen_flags(file.info.flags));
    reg.set_pos(file.path_only() ? 0 : static_cast<uint64_t>(std::max<int64_t>(file.info.pos, 0)));
    *reg.mutable_fown() = read_file_owner(file);
    reg.set_name(found.path);
    reg.set_mode(file.st.st_mode);
    if (S_ISREG(file.st.st_mode)) reg.set_size(static_cast<uint64_t>(file.st.st_size));
    if (found.state == NameState::good && context.task.options.digest_written_files &&
        !context.task.files.is_carried(found.path)) {
      digest(file, context);
    }
  }

 private:
  // Records a digest of a file that is open for writing; the destination compares it with its own copy.
  static void digest(const OpenFile& file, FdContext& context) {
    if (!S_ISREG(file.st.st_mode) || file.path_only() || (file.info.flags & O_ACCMODE) == O_RDONLY) return;
    const Fd content = open_checked(file.proc_link(), O_RDONLY);
    img::crx_file_entry& extra = context.extra(file);
    extra.set_digest(std::string(digest_file(content.get(), file.label()).view()));
    extra.set_size(static_cast<uint64_t>(file.st.st_size));
  }
};

}  // namespace

FdKindPtr make_regular_files() {
  return std::make_unique<RegularFiles>();
}

}  // namespace crx
