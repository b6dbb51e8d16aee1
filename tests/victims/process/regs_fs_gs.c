// FS and GS bases of several threads.
#include "tests/victims/victim.h"

#include <asm/prctl.h>

static _Atomic int go;
static __thread int local;
struct bases {
  unsigned long fs, gs, block[4];
};

static void* body(void* argument) {
  struct bases* mine = argument;
  local = (int)(long)(mine->block[1] = (unsigned long)mine);
  MUST((int)syscall(SYS_arch_prctl, ARCH_SET_GS, mine->block));
  MUST((int)syscall(SYS_arch_prctl, ARCH_GET_FS, &mine->fs));
  wait_change(&go, 0);
  unsigned long fs = 0, gs = 0, through;
  MUST((int)syscall(SYS_arch_prctl, ARCH_GET_FS, &fs));
  MUST((int)syscall(SYS_arch_prctl, ARCH_GET_GS, &gs));
  CHECK(fs == mine->fs, "FS base is %lx, not %lx", fs, mine->fs);
  CHECK(gs == (unsigned long)mine->block, "GS base is %lx, not %p", gs, (void*)mine->block);
  __asm__ volatile("mov %%gs:8, %0" : "=r"(through));
  CHECK(through == (unsigned long)mine, "a load through GS gives %lx", through);
  CHECK(local == (int)(long)mine, "a thread's local variable is %d", local);
  return NULL;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  static struct bases bases[3];
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) threads[i] = start_thread(body, &bases[i]);
  victim_wait();
  go = 1;
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  return victim_end();
}
