#include "agent-src/collect/kind/file_name.hpp"

#include "common/base/fd.hpp"
#include "common/proc/text.hpp"

namespace crx {
namespace {

// Returns the prefix for a path of the task: empty if it shares our root and mount namespace.
std::string root_of(pid_t pid) {
  struct stat ours {};
  struct stat its {};
  const std::string proc = "/proc/" + std::to_string(pid);
  const bool known = ::stat("/proc/self/ns/mnt", &ours) == 0 && ::stat((proc + "/ns/mnt").c_str(), &its) == 0;
  return known && ours.st_ino != its.st_ino ? proc + "/root" : std::string();
}

}  // namespace

bool leads_to(const std::string& path, const struct stat& wanted) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0 && st.st_dev == wanted.st_dev && st.st_ino == wanted.st_ino;
}

FileName find_name(pid_t pid, const std::string& link, const struct stat& st) {
  if (leads_to(link, st)) return {link, NameState::good};
  const std::string root = root_of(pid);
  if (!root.empty() && leads_to(root + link, st)) return {link, NameState::good};
  const std::string_view text = link;
  if (!text.ends_with(proc::kDeleted)) return {link, NameState::hidden};
  const std::string path(text.substr(0, text.size() - proc::kDeleted.size()));
  return {path, st.st_nlink == 0 ? NameState::deleted : NameState::unlinked};
}

NameProblem explain(NameState state) {
  if (state == NameState::unlinked) {
    return {"its name was removed, but the file has another name that is not known",
            "give it a name again, or use --link-remap"};
  }
  return {"its path leads to another file now (a mount hides it, or it is in another mount namespace)",
          "unmount what hides it"};
}

}  // namespace crx
