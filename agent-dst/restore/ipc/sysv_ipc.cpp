// System V objects: made by the agent with the creator's ids; the task itself puts their content in, so that the
// objects name it as their user.
#include <fmt/format.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "agent-dst/restore/kind/registry.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/crx_ipc.pb.h"

namespace crx {
namespace {

constexpr char kSysvIpcStep[] = "restoring System V objects";
constexpr uint32_t kDestroyed = 01000, kLocked = 02000;  // SHM_DEST, SHM_LOCKED
constexpr int kMostAdjustment = 32767;                   // SEMVMX

class SysvIpc final : public Restorer {
 public:
  const char* name() const override { return "System V IPC"; }

  // Objects of the whole tree are made with the first task.
  void prepare(RestoreContext& context) override {
    for (const std::string& image : context.images.names()) {
      if (image.starts_with("ipcns-shm-")) segments(context, image);
      if (image.starts_with("ipcns-sem-")) sets(context, image);
      if (image.starts_with("ipcns-msg-")) queues(context, image);
    }
    context.follow_image(image_file::kCrxIpc);
    for (const auto& entry : context.images.read_all<img::crx_ipc_entry>(image_file::kCrxIpc)) {
      if (entry.has_undo() && static_cast<pid_t>(entry.undo().pid()) == context.pid) note(context, entry.undo());
    }
  }

  void commit(RestoreContext& context) override {
    for (const int id : destroyed_) remove_sysv(SysvKind::segment, id);
    context.shmem.sysv().keep();
  }

 private:
  void segments(RestoreContext& context, const std::string& name) {
    context.follow_image(name);
    ImageReader image = context.images.reader(name);
    for (img::ipc_shm_entry entry; image.next(entry);) {
      const SysvPerm perm = perm_of(entry.desc());
      const bool is_new = !context.shmem.sysv().contains(SysvKind::segment, perm.id);
      if (is_new) context.shmem.sysv().make_segment(entry);
      if (!entry.in_pagemaps()) {
        const std::span<const std::byte> content = image.raw_padded(entry.size(), 4);
        if (is_new) fill(context, perm.id, content);
      }
      if ((perm.mode & kLocked) != 0 && ::shmctl(perm.id, SHM_LOCK, nullptr) < 0)
        throw_errno(kSysvIpcStep, fmt::format("locking segment {}", perm.id));
      if ((perm.mode & kDestroyed) != 0) destroyed_.push_back(perm.id);
    }
  }

  static void fill(RestoreContext& context, int id, std::span<const std::byte> content) {
    void* at = ::shmat(id, nullptr, 0);
    if (at == reinterpret_cast<void*>(-1)) throw_errno(kSysvIpcStep, fmt::format("segment {}", id));
    std::memcpy(at, content.data(), content.size());
    ::shmdt(at);
    const ArenaScope scratch(context.vessel.arena());
    RemoteBatch batch = context.vessel.batch(2);
    const std::size_t attached = batch.add("attaching shared memory", SYS_shmat, id, 0, 0);
    const std::size_t left = batch.add("detaching shared memory", SYS_shmdt, 0);
    batch.store_result(attached, batch.argument_addr(left, 0));
    context.vessel.run_checked(batch);
  }

  static void sets(RestoreContext& context, const std::string& name) {
    context.follow_image(name);
    ImageReader image = context.images.reader(name);
    for (img::ipc_sem_entry entry; image.next(entry);) {
      const std::span<const std::byte> values = image.raw_padded(uint64_t{entry.nsems()} * sizeof(uint16_t), 8);
      const int id = perm_of(entry.desc()).id;
      if (context.shmem.sysv().contains(SysvKind::set, id)) continue;
      context.shmem.sysv().make_set(entry);
      const ArenaScope scratch(context.vessel.arena());
      context.vessel.call("setting semaphores", SYS_semctl, id, 0, SETALL, context.vessel.arena().put(values));
    }
  }

  static void queues(RestoreContext& context, const std::string& name) {
    context.follow_image(name);
    ImageReader image = context.images.reader(name);
    for (img::ipc_msg_entry entry; image.next(entry);) {
      const int id = perm_of(entry.desc()).id;
      const bool is_new = !context.shmem.sysv().contains(SysvKind::queue, id);
      if (is_new) context.shmem.sysv().make_queue(entry);
      for (uint32_t i = 0; i < entry.qnum(); ++i) {
        const auto head = image.expect<img::ipc_msg>();
        const std::span<const std::byte> text = image.raw_padded(head.msize(), 8);
        if (is_new) send(context, id, head.mtype(), text, false);
      }
      if (is_new && entry.qnum() == 0) send(context, id, 1, {}, true);
    }
  }

  // back: receive the message again, so that the queue names the task as its user.
  static void send(RestoreContext& context, int id, uint64_t type, std::span<const std::byte> text, bool back) {
    if (text.size() > context.vessel.arena().available() / 2) {
      throw Error(ErrorCode::unsupported, kSysvIpcStep,
                  fmt::format("a message of {} bytes in queue {}", text.size(), id));
    }
    const ArenaScope scratch(context.vessel.arena());
    RemoteBatch batch = context.vessel.batch(2);
    const auto buffer = context.vessel.arena().allocate<std::byte>(sizeof type + text.size());
    std::memcpy(buffer.local, &type, sizeof type);
    if (!text.empty()) std::memcpy(buffer.local + sizeof type, text.data(), text.size());
    constexpr int kNoWait = 04000;  // IPC_NOWAIT
    batch.add("sending a message", SYS_msgsnd, id, buffer.remote, text.size(), kNoWait);
    if (back) batch.add("receiving a message", SYS_msgrcv, id, buffer.remote, 0, 0, kNoWait);
    context.vessel.run_checked(batch);
  }

  // The agent first applies the adjustment; then the task undoes it with SEM_UNDO, so that the kernel records it.
  static void note(RestoreContext& context, const img::crx_sem_undo& undo) {
    const int adjustment = undo.adjustment();
    if (adjustment == 0 || adjustment > kMostAdjustment || adjustment < -kMostAdjustment ||
        undo.number() > UINT16_MAX) {
      throw Error(ErrorCode::corrupt_image, kSysvIpcStep,
                  fmt::format("an adjustment of {} for semaphore {}", adjustment, undo.number()));
    }
    if (!context.shmem.sysv().contains(SysvKind::set, static_cast<int>(undo.set()))) {
      throw Error(ErrorCode::corrupt_image, kSysvIpcStep,
                  fmt::format("semaphore set {} is not in the images", undo.set()));
    }
    sembuf change{static_cast<unsigned short>(undo.number()), static_cast<short>(adjustment), IPC_NOWAIT};
    if (::semop(static_cast<int>(undo.set()), &change, 1) != 0) {
      throw_errno(kSysvIpcStep, fmt::format("semaphore {} of set {}", undo.number(), undo.set()));
    }
    change.sem_op = static_cast<short>(-adjustment);
    change.sem_flg = IPC_NOWAIT | SEM_UNDO;
    const ArenaScope scratch(context.vessel.arena());
    context.vessel.call("noting an undo", SYS_semop, undo.set(), context.vessel.arena().put_object(change), 1);
  }

  std::vector<int> destroyed_;
};

}  // namespace

RestorerPtr make_sysv_ipc_restorer() {
  return std::make_unique<SysvIpc>();
}

}  // namespace crx
