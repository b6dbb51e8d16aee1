#include "common/kernel/ipc/sysv_ipc.hpp"

#include <fmt/format.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <optional>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/scope_exit.hpp"
#include "common/kernel/memory/uapi_memory.hpp"

#ifndef MSG_COPY
#define MSG_COPY 040000  // Linux 3.8
#endif

namespace crx {
namespace {

constexpr char kSysvIpcStep[] = "making System V objects";
constexpr uint32_t kModeBits = 0777;
constexpr std::size_t kLargestMessage = std::size_t{64} << 20;

// semctl(2) requires the caller to define this union.
union SemArgument {
  int value;
  semid_ds* status;
  unsigned short* array;
  seminfo* info;
};

SysvPerm perm_of(int id, const ipc_perm& perm) {
  return {id, static_cast<uint32_t>(perm.__key), perm.uid, perm.gid, perm.cuid, perm.cgid, perm.mode};
}

SysvSegment segment_of(int id, const shmid_ds& status) {
  return {perm_of(id, status.shm_perm),
          status.shm_segsz,
          status.shm_cpid,
          status.shm_lpid,
          status.shm_nattch,
          status.shm_ctime,
          std::max(status.shm_atime, status.shm_dtime)};
}

// Calls stat(index) for every entry of the kernel's table. `last` is the highest used index; `stat` reads one entry and
// returns its id or -1.
template <typename Stat>
void for_all(int last, Stat stat) {
  for (int index = 0; index <= last; ++index) {
    if (stat(index) < 0 && errno != EINVAL && errno != EIDRM && errno != EACCES) {
      throw_errno("listing System V objects", std::to_string(index));
    }
  }
}

// The kernel records the effective ids of the creating thread as the creator. Changes them for this thread only, until
// destruction.
class AsCreator {
 public:
  explicit AsCreator(const SysvPerm& perm) : uid_(::geteuid()), gid_(::getegid()) {
    constexpr auto kKeep = static_cast<uid_t>(-1);
    if (perm.cgid != gid_ && ::syscall(SYS_setresgid, kKeep, perm.cgid, kKeep) != 0) {
      throw_errno(kSysvIpcStep, fmt::format("as group {}", perm.cgid));
    }
    if (perm.cuid != uid_ && ::syscall(SYS_setresuid, kKeep, perm.cuid, kKeep) != 0) {
      throw_errno(kSysvIpcStep, fmt::format("as user {}", perm.cuid));
    }
  }
  ~AsCreator() {
    constexpr auto kKeep = static_cast<uid_t>(-1);
    if (::geteuid() == uid_ && ::getegid() == gid_) return;
    static_cast<void>(::syscall(SYS_setresuid, kKeep, uid_, kKeep));
    static_cast<void>(::syscall(SYS_setresgid, kKeep, gid_, kKeep));
    static_cast<void>(::prctl(PR_SET_DUMPABLE, 1));
  }
  AsCreator(const AsCreator&) = delete;
  AsCreator& operator=(const AsCreator&) = delete;

 private:
  uid_t uid_;
  gid_t gid_;
};

const char* next_id_file(SysvKind kind) {
  switch (kind) {
    case SysvKind::segment:
      return "/proc/sys/kernel/shm_next_id";
    case SysvKind::set:
      return "/proc/sys/kernel/sem_next_id";
    case SysvKind::queue:
      return "/proc/sys/kernel/msg_next_id";
  }
  return "";
}

// The kernel applies a requested id to the next object that anyone creates, and the request cannot be withdrawn: use it
// up by creating an object.
void forget_next_id(SysvKind kind) {
  switch (kind) {
    case SysvKind::segment:
      return remove_sysv(kind, ::shmget(IPC_PRIVATE, 1, 0));
    case SysvKind::set:
      return remove_sysv(kind, ::semget(IPC_PRIVATE, 1, 0));
    case SysvKind::queue:
      return remove_sysv(kind, ::msgget(IPC_PRIVATE, 0));
  }
}

// make: performs the *get(2) call with IPC_CREAT | IPC_EXCL and returns the id or -1.
template <typename Make>
void create(SysvKind kind, const SysvPerm& perm, Make make) {
  if (perm.id < 0) throw Error(ErrorCode::corrupt_image, kSysvIpcStep, fmt::format("{} {}", to_string(kind), perm.id));
  try {
    write_file(next_id_file(kind), std::to_string(perm.id));
  } catch (const Error& error) {
    throw Error(ErrorCode::refused, kSysvIpcStep, fmt::format("{} {} cannot get its number", to_string(kind), perm.id),
                error.err())
        .with_hint("the agent needs CAP_CHECKPOINT_RESTORE and a kernel with CONFIG_CHECKPOINT_RESTORE");
  }
  int got = -1;
  int failure = 0;
  {
    const AsCreator creator(perm);
    got = make(static_cast<key_t>(perm.key), IPC_CREAT | IPC_EXCL | static_cast<int>(perm.mode & kModeBits));
    failure = errno;
  }
  if (got == perm.id) return;
  if (got >= 0) {
    remove_sysv(kind, got);
    throw Error(ErrorCode::refused, kSysvIpcStep, fmt::format("{} {} is taken here", to_string(kind), perm.id))
        .with_hint("remove what has this number (ipcs, ipcrm), or move to another host");
  }
  forget_next_id(kind);
  if (failure == EEXIST) {
    throw Error(ErrorCode::refused, kSysvIpcStep,
                fmt::format("a {} with key {:#x} exists here already", to_string(kind), perm.key))
        .with_hint("remove it (ipcs, ipcrm), or move to another host");
  }
  throw_errno(kSysvIpcStep, fmt::format("{} {}", to_string(kind), perm.id), failure);
}

}  // namespace

const char* to_string(SysvKind kind) {
  switch (kind) {
    case SysvKind::segment:
      return "System V shared memory segment";
    case SysvKind::set:
      return "System V semaphore set";
    case SysvKind::queue:
      return "System V message queue";
  }
  return "";
}

std::vector<SysvSegment> list_segments() {
  std::vector<SysvSegment> found;
  shm_info info{};
  for_all(::shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&info)), [&](int index) {
    shmid_ds status{};
    const int id = ::shmctl(index, SHM_STAT, &status);
    if (id >= 0) found.push_back(segment_of(id, status));
    return id;
  });
  return found;
}

SysvSegment look_at_segment(int id) {
  shmid_ds status{};
  if (::shmctl(id, IPC_STAT, &status) < 0) {
    throw_errno("reading the properties of shared memory", fmt::format("{} {}", to_string(SysvKind::segment), id));
  }
  return segment_of(id, status);
}

std::vector<SysvSet> list_sets() {
  std::vector<SysvSet> found;
  seminfo info{};
  SemArgument argument{};
  argument.info = &info;
  for_all(::semctl(0, 0, SEM_INFO, argument), [&](int index) {
    semid_ds status{};
    SemArgument stat{};
    stat.status = &status;
    const int id = ::semctl(index, 0, SEM_STAT, stat);
    if (id >= 0) {
      found.push_back(
          {perm_of(id, status.sem_perm), static_cast<uint32_t>(status.sem_nsems), status.sem_ctime, status.sem_otime});
    }
    return id;
  });
  return found;
}

std::vector<SysvQueue> list_queues() {
  std::vector<SysvQueue> found;
  msginfo info{};
  for_all(::msgctl(0, MSG_INFO, reinterpret_cast<msqid_ds*>(&info)), [&](int index) {
    msqid_ds status{};
    const int id = ::msgctl(index, MSG_STAT, &status);
    if (id >= 0) {
      found.push_back({perm_of(id, status.msg_perm), static_cast<uint32_t>(status.msg_qbytes),
                       static_cast<uint32_t>(status.msg_qnum), status.msg_lspid, status.msg_lrpid, status.msg_ctime,
                       status.msg_stime, status.msg_rtime});
    }
    return id;
  });
  return found;
}

std::vector<uint16_t> read_set(int id, uint32_t count) {
  std::vector<uint16_t> values(count);
  SemArgument argument{};
  argument.array = values.data();
  if (::semctl(id, 0, GETALL, argument) < 0) {
    throw_errno("reading semaphores", fmt::format("{} {}", to_string(SysvKind::set), id));
  }
  return values;
}

std::optional<std::vector<pid_t>> last_changers(int id, uint32_t count) {
  std::vector<pid_t> pids;
  for (uint32_t i = 0; i < count; ++i) {
    const int pid = ::semctl(id, static_cast<int>(i), GETPID);
    if (pid < 0 && (errno == EINVAL || errno == EIDRM)) return std::nullopt;
    if (pid < 0) throw_errno("reading semaphores", fmt::format("{} {}", to_string(SysvKind::set), id));
    pids.push_back(pid);
  }
  return pids;
}

bool is_untouched(const SysvSet& set) {
  if (set.last_used != 0) return false;
  const std::optional<std::vector<pid_t>> pids = last_changers(set.perm.id, set.count);
  return pids && std::all_of(pids->begin(), pids->end(), [](pid_t pid) { return pid == 0; });
}

bool is_untouched(const SysvQueue& queue) {
  return queue.last_sent == 0 && queue.last_received == 0;
}

std::vector<SysvMessage> peek_queue(int id, uint32_t messages) {
  std::vector<SysvMessage> found;
  std::vector<char> room(sizeof(long) + 8192);
  for (uint32_t index = 0; index < messages; ++index) {
    for (;;) {
      const ssize_t got =
          ::msgrcv(id, room.data(), room.size() - sizeof(long), static_cast<long>(index), MSG_COPY | IPC_NOWAIT);
      if (got >= 0) {
        long type = 0;
        std::memcpy(&type, room.data(), sizeof type);
        found.push_back({type, std::string(room.data() + sizeof type, static_cast<std::size_t>(got))});
        break;
      }
      if (errno != E2BIG || room.size() > kLargestMessage) {
        throw_errno("copying messages", fmt::format("{} {}", to_string(SysvKind::queue), id));
      }
      room.resize(room.size() * 2);
    }
  }
  return found;
}

void create_segment(const SysvPerm& perm, uint64_t size, uint64_t huge_page_bytes) {
  const int huge = huge_page_bytes == 0 ? 0 : SHM_HUGETLB | std::countr_zero(huge_page_bytes) << SHM_HUGE_SHIFT;
  create(SysvKind::segment, perm, [&](key_t key, int flags) { return ::shmget(key, size, flags | huge); });
  shmid_ds status{};
  if (::shmctl(perm.id, IPC_STAT, &status) < 0) throw_errno(kSysvIpcStep, fmt::format("segment {}", perm.id));
  status.shm_perm.uid = perm.uid;
  status.shm_perm.gid = perm.gid;
  status.shm_perm.mode = static_cast<decltype(status.shm_perm.mode)>(perm.mode & kModeBits);
  if (::shmctl(perm.id, IPC_SET, &status) < 0) throw_errno(kSysvIpcStep, fmt::format("segment {}", perm.id));
}

void create_set(const SysvPerm& perm, uint32_t count) {
  create(SysvKind::set, perm, [&](key_t key, int flags) { return ::semget(key, static_cast<int>(count), flags); });
  semid_ds status{};
  SemArgument argument{};
  argument.status = &status;
  if (::semctl(perm.id, 0, IPC_STAT, argument) < 0) throw_errno(kSysvIpcStep, fmt::format("semaphore set {}", perm.id));
  status.sem_perm.uid = perm.uid;
  status.sem_perm.gid = perm.gid;
  status.sem_perm.mode = static_cast<decltype(status.sem_perm.mode)>(perm.mode & kModeBits);
  if (::semctl(perm.id, 0, IPC_SET, argument) < 0) throw_errno(kSysvIpcStep, fmt::format("semaphore set {}", perm.id));
}

void create_queue(const SysvPerm& perm, uint32_t max_bytes) {
  create(SysvKind::queue, perm, [&](key_t key, int flags) { return ::msgget(key, flags); });
  msqid_ds status{};
  if (::msgctl(perm.id, IPC_STAT, &status) < 0) throw_errno(kSysvIpcStep, fmt::format("message queue {}", perm.id));
  status.msg_perm.uid = perm.uid;
  status.msg_perm.gid = perm.gid;
  status.msg_perm.mode = static_cast<decltype(status.msg_perm.mode)>(perm.mode & kModeBits);
  status.msg_qbytes = max_bytes;
  if (::msgctl(perm.id, IPC_SET, &status) < 0) {
    throw Error(ErrorCode::refused, kSysvIpcStep, fmt::format("message queue {} of {} bytes", perm.id, max_bytes),
                errno)
        .with_hint("raise kernel.msgmnb");
  }
}

void remove_sysv(SysvKind kind, int id) noexcept {
  switch (kind) {
    case SysvKind::segment:
      static_cast<void>(::shmctl(id, IPC_RMID, nullptr));
      break;
    case SysvKind::set:
      static_cast<void>(::semctl(id, 0, IPC_RMID));
      break;
    case SysvKind::queue:
      static_cast<void>(::msgctl(id, IPC_RMID, nullptr));
      break;
  }
}

}  // namespace crx
