#include "agent-dst/restore/process/task_credentials.hpp"

#include "common/base/error.hpp"

namespace crx {
namespace {

template <typename Field>
uint64_t from_halves(const Field& words) {
  uint64_t set = 0;
  for (int i = 0; i < words.size() && i < 2; ++i) set |= uint64_t{words[i]} << (32 * i);
  return set;
}

}  // namespace

TaskCredentials task_credentials(const img::core_entry& core, pid_t pid) {
  if (!core.thread_core().has_creds())
    throw Error(ErrorCode::corrupt_image, "restoring credentials", "a thread has none").with_pid(pid);
  const img::creds_entry& creds = core.thread_core().creds();
  TaskCredentials all;
  all.uids = {creds.uid(), creds.euid(), creds.suid(), creds.fsuid()};
  all.gids = {creds.gid(), creds.egid(), creds.sgid(), creds.fsgid()};
  all.groups.assign(creds.groups().begin(), creds.groups().end());
  all.inheritable = from_halves(creds.cap_inh());
  all.permitted = from_halves(creds.cap_prm());
  all.effective = from_halves(creds.cap_eff());
  all.bounding = from_halves(creds.cap_bnd());
  all.ambient = from_halves(creds.cap_amb());
  all.securebits = creds.secbits();
  return all;
}

}  // namespace crx
