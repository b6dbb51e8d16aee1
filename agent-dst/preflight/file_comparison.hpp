// Compares the files of a source's tree with those of this host, as far as the tree's tasks could do that themselves.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "agent-dst/files/task_files.hpp"
#include "agent-dst/policy/policy.hpp"
#include "common/base/clock.hpp"
#include "common/kernel/files/file_identity.hpp"
#include "wire/messages.pb.h"

namespace crx {

// Which files may be used with the agent's rights for the tasks of a source: none, unless it may have root tasks, which
// could read them, too.
TaskFiles::Agent rights_over_files(const Policy& policy);
// Reads the credentials of the tasks in a source's Preflight, as they are told there.
TaskFiles task_files_of(const wire::Preflight& preflight, const Policy& policy);
// Credentials that a source tells of one of its threads.
TaskCredentials credentials_of(const wire::TaskCredentials& message);

// Limits what a source can make this host read for it.
struct ReadLimit {
  uint64_t bytes = uint64_t{64} << 30;
  int64_t ms = 25'000;                        // within the time that a source waits for the answer to its Preflight
  std::function<bool()> session_has_ended{};  // looked at before every piece that is read; empty: never
};

// Answers the questions of one message. Single-threaded.
class FileComparison {
 public:
  // files: of the session; remembers what has been compared.
  FileComparison(TaskFiles& files, bool same_kernel, ReadLimit limit)
      : files_(files), same_kernel_(same_kernel), limit_(std::move(limit)), deadline_(Deadline::in_ms(limit_.ms)) {}

  // Returns why the file here is not the wanted one, or cannot be compared within the limit; nullopt if it is. Throws
  // Error(peer) when the session has ended meanwhile.
  std::optional<std::string> difference(pid_t task, const FileIdentity& wanted);
  // True for a regular file, if the path is free on this host or has a regular file, as far as the task sees it.
  bool may_be_carried(pid_t task, const FileIdentity& wanted) const;

 private:
  void before_piece(uint64_t bytes);

  TaskFiles& files_;
  bool same_kernel_;
  ReadLimit limit_;
  Deadline deadline_;
};

}  // namespace crx
