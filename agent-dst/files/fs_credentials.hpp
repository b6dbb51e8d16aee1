// The credentials with which the kernel checks what a thread does to files.
#pragma once

#include <cstdint>
#include <vector>

namespace crx {

struct FsIds {
  uint32_t uid = 0, gid = 0;
  std::vector<uint32_t> groups = {};
  uint64_t capabilities = 0;  // the effective set; those over files count (CAP_DAC_OVERRIDE, CAP_CHOWN, ...)

  bool operator==(const FsIds&) const = default;
};

// The credentials over files that the calling thread has itself, read once.
struct OwnFsIds {
  FsIds ids;
  uint64_t permitted = 0;
  int dumpable = 1, death_signal = 0;
};
// Throws Error(kernel).
OwnFsIds own_fs_ids();

// While it lives, the calling thread uses files as a task with these ids and capabilities does: what it makes belongs
// to them, and it has no privileges over files but theirs (setfsuid(2), capabilities(7)). Other privileges stay. The
// destructor undoes that. Must not be nested. Without privileges of its own a thread can take only its own ids.
class FsCredentials {
 public:
  // own: the credentials to return to. Throws Error(kernel) where the ids cannot be had.
  FsCredentials(const FsIds& ids, const OwnFsIds& own);
  explicit FsCredentials(const FsIds& ids) : FsCredentials(ids, own_fs_ids()) {}
  FsCredentials(const FsCredentials&) = delete;
  FsCredentials& operator=(const FsCredentials&) = delete;
  ~FsCredentials();

 private:
  bool take(const FsIds& ids, uint64_t capabilities) noexcept;
  void restore() noexcept;

  OwnFsIds own_;
  bool changed_ = false, grouped_ = false;
};

}  // namespace crx
