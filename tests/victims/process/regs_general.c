// General registers and the direction and status flags of a thread that never leaves its loop.
#include "tests/victims/victim.h"

static volatile int go __attribute__((used));
static uint64_t saved[16] __attribute__((used));

static void* spin(void* unused) {
  __asm__ volatile(
      "push %%rbp\n\t"
      "movabs $0x1111111111111101, %%rax\n\t movabs $0x1111111111111102, %%rbx\n\t"
      "movabs $0x1111111111111103, %%rcx\n\t movabs $0x1111111111111104, %%rdx\n\t"
      "movabs $0x1111111111111105, %%rsi\n\t movabs $0x1111111111111106, %%rdi\n\t"
      "movabs $0x1111111111111107, %%rbp\n\t movabs $0x1111111111111108, %%r8\n\t"
      "movabs $0x1111111111111109, %%r9\n\t movabs $0x111111111111110a, %%r10\n\t"
      "movabs $0x111111111111110b, %%r11\n\t movabs $0x111111111111110c, %%r12\n\t"
      "movabs $0x111111111111110d, %%r13\n\t movabs $0x111111111111110e, %%r14\n\t"
      "movabs $0x111111111111110f, %%r15\n\t std\n"
      "1: pause\n\t cmpl $0, go(%%rip)\n\t je 1b\n\t"
      "mov %%rax, saved+0(%%rip)\n\t mov %%rbx, saved+8(%%rip)\n\t mov %%rcx, saved+16(%%rip)\n\t"
      "mov %%rdx, saved+24(%%rip)\n\t mov %%rsi, saved+32(%%rip)\n\t mov %%rdi, saved+40(%%rip)\n\t"
      "mov %%rbp, saved+48(%%rip)\n\t mov %%r8, saved+56(%%rip)\n\t mov %%r9, saved+64(%%rip)\n\t"
      "mov %%r10, saved+72(%%rip)\n\t mov %%r11, saved+80(%%rip)\n\t mov %%r12, saved+88(%%rip)\n\t"
      "mov %%r13, saved+96(%%rip)\n\t mov %%r14, saved+104(%%rip)\n\t mov %%r15, saved+112(%%rip)\n\t"
      "pushf\n\t pop %%rax\n\t mov %%rax, saved+120(%%rip)\n\t cld\n\t pop %%rbp\n\t"
      :
      :
      : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
  return unused;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  pthread_t thread = start_thread(spin, NULL);
  victim_wait();
  go = 1;
  pthread_join(thread, NULL);
  for (uint64_t i = 0; i < 15; i++)
    CHECK(saved[i] == 0x1111111111111101 + i, "register %d is %llx", (int)i, (unsigned long long)saved[i]);
  CHECK((saved[15] & 0x400) != 0, "the direction flag is lost: flags %llx", (unsigned long long)saved[15]);
  return victim_end();
}
