// MADV_WIPEONFORK and MADV_DONTFORK memory in a program whose children have their own memory at these addresses.
#include "tests/victims/process/tree/tree.h"

static char *w, *d, *c;
static int child(void* a) {
  (void)a;
  check_zero(w, 4 * PAGE, "wiped");
  fill(w, PAGE, 9);
  char* m = mmap(d, 4 * PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (m == MAP_FAILED) victim_fail("dontfork is there");
  fill(m, PAGE, 10);
  munmap(c + PAGE, PAGE);
  child_wait();
  check_fill(w, PAGE, 9, "own");
  check_zero(w + PAGE, PAGE, "wiped still");
  check_fill(d, PAGE, 10, "own2");
  check_fill(c, PAGE, 3, "cow");
  pid_t g = fork();
  if (g == 0) {
    check_zero(w, PAGE, "wiped for the grandchild");
    _exit(child_failures());
  }
  expect_exit(g, 0, "grandchild");
  return child_failures();
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  w = map_anon(4 * PAGE);
  d = map_anon(4 * PAGE);
  c = map_anon(4 * PAGE);
  fill(w, 4 * PAGE, 1);
  fill(d, 4 * PAGE, 2);
  fill(c, 4 * PAGE, 3);
  MUST(madvise(w, 4 * PAGE, MADV_WIPEONFORK));
  MUST(madvise(d, 4 * PAGE, MADV_DONTFORK));
  pid_t p = spawn(child, 0), q = spawn(child, 0);

  victim_wait();

  check_fill(w, 4 * PAGE, 1, "wipe");
  check_fill(d, 4 * PAGE, 2, "dontfork");
  check_fill(c, 4 * PAGE, 3, "plain");
  expect_exit(p, 0, "1");
  expect_exit(q, 0, "2");
  return victim_end();
}
