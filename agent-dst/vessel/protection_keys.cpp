#include "agent-dst/vessel/protection_keys.hpp"

#include <fmt/format.h>
#include <sys/syscall.h>

#include <algorithm>
#include <set>

#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr uint32_t kKeys = 16;
constexpr char kProtectionKeysStep[] = "restoring protection keys";

// Allocates all keys up to `highest`: the kernel always allocates the lowest free key. The caller frees the keys that
// the process did not have.
std::set<int64_t> allocate_up_to(VesselCalls& calls, uint32_t highest) {
  const ArenaScope scratch(calls.arena());
  RemoteBatch batch = calls.batch(kKeys);
  for (uint32_t i = 0; i < highest; ++i) batch.add_optional(kProtectionKeysStep, SYS_pkey_alloc, 0, 0);
  calls.run_checked(batch);
  std::set<int64_t> keys;
  for (uint32_t i = 0; i < highest; ++i) keys.insert(batch.result(i));
  return keys;
}

}  // namespace

void restore_protection_keys(VesselCalls& calls, const std::vector<Vma>& vmas, const img::crx_task_entry& extra) {
  if (extra.pkeys().empty()) return;
  const uint32_t highest = *std::max_element(extra.pkeys().begin(), extra.pkeys().end());
  if (highest >= kKeys)
    throw Error(ErrorCode::corrupt_image, kProtectionKeysStep, fmt::format("there is no key {}", highest));
  std::set<int64_t> spare = allocate_up_to(calls, highest);
  for (const uint32_t key : extra.pkeys()) {
    if (spare.erase(key) != 0) continue;
    throw Error(ErrorCode::unsupported, kProtectionKeysStep, fmt::format("key {} cannot be allocated", key))
        .with_hint("move to a host whose CPU and kernel have memory protection keys (pku)");
  }
  const auto keyed =
      std::count_if(extra.vmas().begin(), extra.vmas().end(), [](const auto& vma) { return vma.has_pkey(); });
  const ArenaScope scratch(calls.arena());
  RemoteBatch batch = calls.batch(kKeys + static_cast<std::size_t>(keyed));
  for (const int64_t key : spare) {
    if (key > 0) batch.add_optional(kProtectionKeysStep, SYS_pkey_free, key);
  }
  for (const img::crx_vma_entry& vma : extra.vmas()) {
    if (!vma.has_pkey()) continue;
    const auto mapping = std::find_if(vmas.begin(), vmas.end(),
                                      [&](const Vma& v) { return v.start <= vma.start() && vma.start() < v.end; });
    if (mapping == vmas.end())
      throw Error(ErrorCode::corrupt_image, kProtectionKeysStep, fmt::format("{:#x} is in no mapping", vma.start()));
    batch.add(kProtectionKeysStep, SYS_pkey_mprotect, vma.start(), vma.end() - vma.start(), mapping->prot, vma.pkey());
  }
  calls.run_checked(batch);
}

}  // namespace crx
