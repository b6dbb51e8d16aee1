#include "agent-src/collect/memory/protection_keys.hpp"

#include <sys/mman.h>
#include <sys/syscall.h>

#include <cerrno>

#include "common/base/page.hpp"

namespace crx {
namespace {

constexpr uint32_t kKeys = 16;

}  // namespace

// Asks by pkey_mprotect(2) on address 0, where nothing can be mapped, so nothing changes: the kernel returns ENOMEM if
// the key is allocated and EINVAL if it is not (mm/mprotect.c).
void add_protection_keys(FrozenTask& task, img::crx_task_entry& extra) {
  const ArenaScope scratch(task.arena());
  RemoteBatch batch(task.arena(), kKeys);
  for (uint32_t key = 1; key < kKeys; ++key) {
    batch.add_optional("asking for a protection key", SYS_pkey_mprotect, 0, kPageSize, PROT_NONE, key);
  }
  task.remote(0).run(batch);
  for (uint32_t key = 1; key < kKeys; ++key) {
    if (batch.result(key - 1) == -ENOMEM) extra.add_pkeys(key);
  }
}

}  // namespace crx
