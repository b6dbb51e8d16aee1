#include "common/remote/rseq_section.hpp"

#include <sys/uio.h>

#include <cstddef>

#include "common/base/log.hpp"

namespace crx {
namespace {

struct RseqArea {  // struct rseq, linux/rseq.h
  uint32_t cpu_id_start;
  uint32_t cpu_id;
  uint64_t rseq_cs;
  uint32_t flags;
};

struct RseqSection {  // struct rseq_cs
  uint32_t version;
  uint32_t flags;
  uint64_t start_ip;
  uint64_t post_commit_offset;
  uint64_t abort_ip;
};

template <typename T>
bool read_object(pid_t pid, uint64_t addr, T& object) {
  iovec local{&object, sizeof object};
  iovec remote{reinterpret_cast<void*>(addr), sizeof object};
  return ::process_vm_readv(pid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(sizeof object);
}

}  // namespace

bool leave_rseq_section(pid_t pid, const RseqConfiguration& rseq, user_regs_struct& regs) {
  if (rseq.rseq_abi_pointer == 0) return false;
  RseqArea area{};
  RseqSection section{};
  if (!read_object(pid, rseq.rseq_abi_pointer, area) || area.rseq_cs == 0) return false;
  if (!read_object(pid, area.rseq_cs, section)) return false;
  if (regs.rip - section.start_ip >= section.post_commit_offset) return false;
  log::debug("rip {:#x} is in a restartable sequence; it continues at the abort handler {:#x}", regs.rip,
             section.abort_ip);
  regs.rip = section.abort_ip;
  regs.orig_rax = ~0ULL;
  return true;
}

}  // namespace crx
