// The ids with which the kernel checks what a thread does to files.
#pragma once

#include <cstdint>
#include <vector>

namespace crx {

struct FsIds {
  uint32_t uid = 0, gid = 0;
  std::vector<uint32_t> groups;
};

// While it lives, the calling thread uses files as a task with these ids does: what it makes belongs to them, and
// unless the uid is 0 it has no privileges over files, since the kernel takes CAP_DAC_OVERRIDE, CAP_CHOWN, CAP_FOWNER
// and the like from the effective set with the filesystem uid (setfsuid(2), capabilities(7)). The destructor undoes
// that. Must not be nested. The thread must be root.
class FsCredentials {
 public:
  // Throws Error(kernel) where the ids cannot be had.
  explicit FsCredentials(const FsIds& ids);
  FsCredentials(const FsCredentials&) = delete;
  FsCredentials& operator=(const FsCredentials&) = delete;
  ~FsCredentials();

 private:
  void restore() noexcept;

  uint32_t uid_, gid_;
  std::vector<uint32_t> groups_;
  int dumpable_;
};

}  // namespace crx
