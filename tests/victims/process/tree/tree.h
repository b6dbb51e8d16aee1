// Victims that are trees: the children check themselves and report by their exit status.
#pragma once
#include "../../victim.h"

// Forks a child that runs `work` and exits with its result; 0 means success. `work` waits for the end of the moves by
// calling child_wait().
UNUSED static pid_t spawn(int (*work)(void*), void* argument) {
  pid_t pid = MUST(fork());
  if (pid == 0) _exit(work(argument));
  return pid;
}

// Makes system calls in a process that shares another process's thread-local storage.
UNUSED static long raw(long nr, long a, long b, long c, long d) {
  long result;
  register long r10 __asm__("r10") = d;
  __asm__ volatile("syscall" : "=a"(result) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
  return result;
}

UNUSED static void pause_ms(long ms) {
  struct timespec nap = {0, ms * 1000000};
  raw(SYS_nanosleep, (long)&nap, 0, 0, 0);
}

// Waits until the test's go file exists; a child calls it while the tree moves.
UNUSED static void child_wait(void) {
  while (access(victim_go, F_OK) != 0) {
    struct timespec nap = {0, 5000000};
    nanosleep(&nap, NULL);
  }
}

// Checks that the child has ended by itself with status `wanted`.
UNUSED static void expect_exit(pid_t pid, int wanted, const char* what) {
  int status = 0;
  pid_t got = waitpid(pid, &status, 0);
  if (got != pid) {
    victim_fail("%s: waitpid gives %d: %s", what, (int)got, strerror(errno));
  } else if (!WIFEXITED(status) || WEXITSTATUS(status) != wanted) {
    victim_fail("%s: wait status 0x%x, not exit %d", what, status, wanted);
  }
}

UNUSED static int child_failures(void) {
  return victim_failures == 0 ? 0 : 1;
}
