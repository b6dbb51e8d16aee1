// Processes that share memory, descriptors, directories or signal handlers with their parent (clone(2) without
// CLONE_THREAD), in all combinations that the kernel allows; afterwards they share the same objects and no others.
#include "tests/victims/process/tree/tree.h"

enum { kStack = 64 * 1024, kKinds = 12 };

struct child {
  int flags;
  pid_t pid;
  _Atomic int step;  // 1: it is ready; 2: it must make its changes; 3: it has made them; 4: it may end
  uint64_t counter;
};

static const int kinds[kKinds] = {CLONE_FILES,
                                  CLONE_FS,
                                  CLONE_FILES | CLONE_FS,
                                  CLONE_VM,
                                  CLONE_VM | CLONE_SIGHAND,
                                  CLONE_VM | CLONE_FILES,
                                  CLONE_VM | CLONE_FS,
                                  CLONE_VM | CLONE_FILES | CLONE_FS,
                                  CLONE_VM | CLONE_SIGHAND | CLONE_FILES,
                                  CLONE_VM | CLONE_SIGHAND | CLONE_FS,
                                  CLONE_VM | CLONE_SIGHAND | CLONE_FILES | CLONE_FS,
                                  0};
static struct child* children;  // in shared memory
static char* memory;            // in private memory

// Shares the parent's thread-local storage, so it makes system calls only.
static int live(void* argument) {
  struct child* me = argument;
  int index = (int)(me - children);
  me->step = 1;
  while (raw(SYS_access, (long)victim_go, F_OK, 0, 0) != 0) {
    me->counter++;
    memory[PAGE * index + 1]++;
    pause_ms(1);
  }
  while (me->step != 2) pause_ms(1);
  memory[PAGE * index] = 'c';
  raw(SYS_dup2, 1, 100 + index, 0, 0);
  raw(SYS_umask, 0100 + index, 0, 0, 0);
  struct {
    void* handler;
    unsigned long flags;
    void* restorer;
    uint64_t mask;
  } ignore = {SIG_IGN, 0, NULL, 0};
  raw(SYS_rt_sigaction, SIGRTMIN + index, (long)&ignore, 0, 8);
  me->step = 3;
  while (me->step != 4) pause_ms(1);
  raw(SYS_exit, 10 + index, 0, 0, 0);
  return 0;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  victim_loose_status = true;
  memory = map_anon(kKinds * PAGE);
  children = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < kKinds; i++) {
    char* stack = map_anon(kStack);
    children[i].flags = kinds[i];
    children[i].pid = MUST(clone(live, stack + kStack, kinds[i] | SIGCHLD, &children[i]));
  }
  for (int i = 0; i < kKinds; i++)
    while (children[i].step != 1) pause_ms(1);
  umask(022);
  victim_wait();
  for (int i = 0; i < kKinds; i++) {
    int flags = children[i].flags;
    char what[32];
    snprintf(what, sizeof what, "flags 0x%x", flags);
    children[i].step = 2;
    while (children[i].step != 3) pause_ms(1);
    CHECK(children[i].counter > 0, "%s: it never ran", what);
    CHECK_EQ(memory[PAGE * (size_t)i] == 'c', (flags & CLONE_VM) != 0, what);
    CHECK_EQ(fcntl(100 + i, F_GETFD) >= 0, (flags & CLONE_FILES) != 0, what);
    struct sigaction action;
    sigaction(SIGRTMIN + i, NULL, &action);
    CHECK_EQ(action.sa_handler == SIG_IGN, (flags & CLONE_SIGHAND) != 0, what);
  }
  // All processes that share the umask have set it; the last value counts.
  mode_t mask = umask(0);
  CHECK(mask >= 0100 && (kinds[mask - 0100] & CLONE_FS) != 0, "the umask is 0%o", mask);
  for (int i = 0; i < kKinds; i++) {
    children[i].step = 4;
    expect_exit(children[i].pid, 10 + i, "a child");
  }
  return victim_end();
}
