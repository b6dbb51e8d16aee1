// A thread in strict mode that only reads, in a process without filters.
#include "tests/victims/victim.h"

#include <linux/seccomp.h>

static int ends[2];
static _Atomic int settled, got;

static void* strict(void* unused) {
  char byte = 0;
  settled = (int)syscall(SYS_gettid);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) got = -1;
  if (syscall(SYS_read, ends[0], &byte, 1) == 1) got = byte;
  syscall(SYS_exit, 0);
  return unused;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  MUST(pipe(ends));
  start_thread(strict, NULL);
  wait_change(&settled, 0);
  char text[4096];
  do {
    char path[64];
    struct timespec nap = {0, 1000000};
    nanosleep(&nap, NULL);
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", settled);
    read_file(path, text, sizeof text);
  } while (strncmp(text, "0 ", 2) != 0);  // it is in read(2)
  victim_wait();
  MUST(write(ends[1], "g", 1));
  wait_change(&got, 0);
  CHECK_EQ(got, 'g', "what the thread read");
  return victim_end();
}
