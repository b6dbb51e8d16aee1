// System V shared memory, semaphores and message queues of the IPC namespace of the calling process (sysvipc(7)).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace crx {

enum class SysvKind : uint8_t { segment, set, queue };
// "shared memory segment", "semaphore set", "message queue".
const char* to_string(SysvKind kind);

// This bit is set in the id of a page space (and of a memory object) that is a System V segment. The inode number of a
// segment is its id, a small number that could also be the inode number of a memfd.
inline constexpr uint64_t kSysvObjectBit = uint64_t{1} << 62;

// struct ipc64_perm.
struct SysvPerm {
  int id = 0;
  uint32_t key = 0;
  uint32_t uid = 0, gid = 0;    // owner
  uint32_t cuid = 0, cgid = 0;  // creator
  uint32_t mode = 0;            // with SHM_DEST (01000) and SHM_LOCKED (02000)
};

// Times are seconds of CLOCK_REALTIME; 0 means never.
struct SysvSegment {
  SysvPerm perm;
  uint64_t size = 0;  // bytes
  pid_t creator = 0, last_user = 0;
  uint64_t attached = 0;  // number of attached mappings
  int64_t changed = 0, last_used = 0;
};

struct SysvSet {
  SysvPerm perm;
  uint32_t count = 0;
  int64_t changed = 0, last_used = 0;
};

struct SysvQueue {
  SysvPerm perm;
  uint32_t max_bytes = 0, messages = 0;
  pid_t last_sender = 0, last_receiver = 0;
  int64_t changed = 0, last_sent = 0, last_received = 0;
};

// All objects that exist now; objects that are removed during the listing are left out.
std::vector<SysvSegment> list_segments();
std::vector<SysvSet> list_sets();
std::vector<SysvQueue> list_queues();
// Throws Error(kernel) when there is no segment with this id.
SysvSegment look_at_segment(int id);

// The values of all semaphores of a set, and for each the pid that changed it last (0: none).
std::vector<uint16_t> read_set(int id, uint32_t count);
std::optional<std::vector<pid_t>> last_changers(int id, uint32_t count);

// Whether no process has used the object since its creation.
bool is_untouched(const SysvSet& set);
bool is_untouched(const SysvQueue& queue);

struct SysvMessage {
  int64_t type = 0;
  std::string text;
};
// Copies of the messages, oldest first; the queue is not changed (MSG_COPY, CONFIG_CHECKPOINT_RESTORE).
std::vector<SysvMessage> peek_queue(int id, uint32_t messages);

// Create an object with exactly this id, key, owner, creator and permissions. Throw Error(refused), which names the
// obstacle. The calling thread assumes the creator's ids for a moment. huge_page_bytes: 0, or the page size of a
// segment in huge pages, which the kernel reserves at creation (shmget(2), SHM_HUGETLB).
void create_segment(const SysvPerm& perm, uint64_t size, uint64_t huge_page_bytes = 0);
void create_set(const SysvPerm& perm, uint32_t count);
void create_queue(const SysvPerm& perm, uint32_t max_bytes);
// IPC_RMID; it is no error when the object does not exist.
void remove_sysv(SysvKind kind, int id) noexcept;

}  // namespace crx
