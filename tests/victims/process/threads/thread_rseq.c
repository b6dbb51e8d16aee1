// Restartable sequences: still registered in every thread (a second registration returns EBUSY), the CPU number in the
// area is right, and increments made in critical sections are never torn.
#include "tests/victims/victim.h"

#include <sys/rseq.h>

static _Atomic int go;
static volatile uint64_t turns[3];

static struct rseq* area(void) {
  return (struct rseq*)((char*)__builtin_thread_pointer() + __rseq_offset);
}

// Increments *value in a critical section, which runs again after an abort.
static void increment(volatile uint64_t* value) {
  struct rseq* rs = area();
  __asm__ volatile(
      ".pushsection __rseq_cs, \"aw\"\n\t.balign 32\n"
      "3: .long 0, 0\n\t.quad 1f, 2f - 1f, 4f\n\t.popsection\n"
      "0: lea 3b(%%rip), %%rax\n\t mov %%rax, %[cs]\n"
      "1: mov %[value], %%rcx\n\t lea 1(%%rcx), %%rcx\n\t"
      "pause\n\tpause\n\tpause\n\tpause\n\tpause\n\tpause\n\tpause\n\tpause\n\t"
      "mov %%rcx, %[value]\n"
      "2:\n\t.pushsection __rseq_abort, \"ax\"\n\t"
      ".byte 0x0f, 0xb9, 0x3d\n\t.long 0x53053053\n"
      "4: jmp 0b\n\t.popsection\n\t"
      : [value] "+m"(*value), [cs] "=m"(rs->rseq_cs)
      :
      : "rax", "rcx", "memory", "cc");
}

static void* body(void* argument) {
  volatile uint64_t* mine = argument;
  uint64_t mirror = 0;
  while (!atomic_load(&go)) {
    increment(mine);
    mirror++;
  }
  CHECK_EQ(*mine, mirror, "increments in critical sections");
  long again = syscall(SYS_rseq, area(), __rseq_size < 32 ? 32 : __rseq_size, 0, 0x53053053);
  CHECK(again == -1 && errno == EBUSY, "rseq is no longer registered in a thread: %ld, %s", again, strerror(errno));
  return NULL;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  if (__rseq_size == 0) MUST(-1);
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) threads[i] = start_thread(body, (void*)&turns[i]);
  victim_wait();
  go = 1;
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  long again = syscall(SYS_rseq, area(), __rseq_size < 32 ? 32 : __rseq_size, 0, 0x53053053);
  CHECK(again == -1 && errno == EBUSY, "rseq is no longer registered: %ld, %s", again, strerror(errno));
  for (int cpu = 0; cpu < (int)sysconf(_SC_NPROCESSORS_ONLN); cpu++) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    MUST(sched_setaffinity(0, sizeof one, &one));
    CHECK_EQ(*(volatile uint32_t*)&area()->cpu_id, cpu, "CPU number in the rseq area");
  }
  return victim_end();
}
