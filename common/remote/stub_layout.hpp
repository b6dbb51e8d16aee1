// The layout of the memory that the stub (stub.S) and the agent share. Offsets are checked here and repeated in stub.S.
#pragma once

#include <time.h>

#include <cstddef>
#include <cstdint>

namespace crx::stub {

// One system call of a batch.
struct Entry {
  uint64_t nr;
  uint64_t args[6];
  int64_t ret;
  uint64_t result_to;  // address in the task that gets a copy of ret, or 0: lets a later entry use the result
};
static_assert(sizeof(Entry) == 72 && offsetof(Entry, ret) == 56 && offsetof(Entry, result_to) == 64);

struct FutexWaiter {  // struct futex_waitv, Linux 5.16
  uint64_t val;
  uint64_t uaddr;
  uint32_t flags;
  uint32_t reserved;
};

// The registers that a recovering thread loads before it leaves the stub.
struct HealRegisters {
  uint64_t r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, eflags, rsp;
  uint64_t landing;  // address in the task of this thread's Landing
};

struct Mailbox {
  uint32_t go;
  uint32_t done;
  uint64_t count;
  uint64_t table;
  FutexWaiter waiter;
  uint64_t deadline_sec;
  uint64_t deadline_nsec;
  uint64_t sigmask;
  uint64_t healing;
  HealRegisters regs;
};
static_assert(offsetof(Mailbox, count) == 8 && offsetof(Mailbox, table) == 16 && offsetof(Mailbox, waiter) == 24);
static_assert(offsetof(Mailbox, deadline_sec) == 48);
static_assert(offsetof(Mailbox, regs.eflags) == 192 && offsetof(Mailbox, regs.landing) == 208);
static_assert(offsetof(Mailbox, sigmask) == 64 && offsetof(Mailbox, healing) == 72 && offsetof(Mailbox, regs) == 80);

// Code that the agent writes for one thread; a recovering thread leaves the stub through it:
//   movabs $r15,%r15; movabs $rsp,%rsp; jmp *0(%rip); .quad rip
struct [[gnu::packed]] Landing {
  uint8_t movabs_r15[2] = {0x49, 0xbf};
  uint64_t r15 = 0;
  uint8_t movabs_rsp[2] = {0x48, 0xbc};
  uint64_t rsp = 0;
  uint8_t jmp_rip[6] = {0xff, 0x25, 0, 0, 0, 0};
  uint64_t rip = 0;
};
static_assert(sizeof(Landing) == 34);
inline constexpr std::size_t kLandingStride = 40;
inline constexpr std::size_t kMailboxStride = 256;
static_assert(sizeof(Mailbox) <= kMailboxStride);

extern "C" const char crx_stub_begin[];
extern "C" const char crx_stub_end[];

}  // namespace crx::stub
