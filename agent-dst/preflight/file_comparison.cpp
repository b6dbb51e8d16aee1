#include "agent-dst/preflight/file_comparison.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "agent-dst/files/file_rules.hpp"
#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr char kFileComparisonStep[] = "comparing files";

}  // namespace

TaskFiles::Agent rights_over_files(const Policy& policy) {
  const bool root = policy.allows_uid(0) && policy.allows_gid(0) && policy.allowed_capabilities() == kAllCapabilities;
  return root ? TaskFiles::Agent::compared_files : TaskFiles::Agent::nothing;
}

TaskFiles task_files_of(const wire::Preflight& preflight, const Policy& policy) {
  TaskFiles files(rights_over_files(policy));
  for (const wire::TaskSummary& task : preflight.tasks()) {
    if (task.credentials_size() == 0) continue;
    files.set(static_cast<pid_t>(task.pid()), fs_ids_of(credentials_of(task.credentials(0))));
  }
  return files;
}

TaskCredentials credentials_of(const wire::TaskCredentials& message) {
  TaskCredentials credentials;
  for (std::size_t i = 0; i < credentials.uids.size(); ++i) {
    if (static_cast<int>(i) < message.uids_size()) credentials.uids[i] = message.uids(static_cast<int>(i));
    if (static_cast<int>(i) < message.gids_size()) credentials.gids[i] = message.gids(static_cast<int>(i));
  }
  credentials.groups.assign(message.groups().begin(), message.groups().end());
  credentials.inheritable = message.inheritable();
  credentials.permitted = message.permitted();
  credentials.effective = message.effective();
  credentials.bounding = message.bounding();
  credentials.ambient = message.ambient();
  return credentials;
}

std::optional<std::string> FileComparison::difference(pid_t task, const FileIdentity& wanted) {
  try {
    return files_.compare(task, wanted, same_kernel_, [this](uint64_t bytes) { before_piece(bytes); });
  } catch (const Error& error) {
    if (error.code() == ErrorCode::peer) throw;
    return "cannot be compared here: " + error.reason();
  }
}

void FileComparison::before_piece(uint64_t bytes) {
  if (limit_.session_has_ended && limit_.session_has_ended())
    throw Error(ErrorCode::peer, kFileComparisonStep, "the source has gone");
  if (bytes > limit_.bytes || deadline_.passed())
    throw Error(ErrorCode::refused, kFileComparisonStep, "the files of this tree take too long to read");
  limit_.bytes -= bytes;
}

bool FileComparison::may_be_carried(pid_t task, const FileIdentity& wanted) const {
  if (!S_ISREG(wanted.mode) || !wanted.path.starts_with('/')) return false;
  struct stat st {};
  const Fd found = files_.find_to_compare(task, wanted.path, O_NOFOLLOW);
  return found ? ::fstat(found.get(), &st) == 0 && S_ISREG(st.st_mode) : errno == ENOENT;
}

}  // namespace crx
