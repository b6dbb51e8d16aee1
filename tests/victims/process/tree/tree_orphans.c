// Orphans with descendants: the leader of their posix session has ended, and they have children, grandchildren and
// session leaders below them. Also orphans of one session in two places: below the process that adopts them, and below
// one of them that has left the session since.
#include "tests/victims/process/tree/tree.h"

static int* told;  // the processes, by their generation
#define GENERATIONS 5

// Every generation is in the session of the first, except the fourth, which leads one of its own.
static int generation(void* argument) {
  int* number = argument;
  int mine = *number;
  if (mine == 3) MUST(setsid());
  pid_t child = 0, sid = getsid(0);
  ++*number;
  if (*number < GENERATIONS) child = spawn(generation, number);
  told[mine] = getpid();
  child_wait();
  CHECK_EQ(getsid(0), sid, "session");
  if (child != 0) expect_exit(child, 0, "the next generation");
  return child_failures();
}

static int leave_behind(void* argument) {
  MUST(setsid());
  spawn(generation, argument);
  spawn(generation, &(int){GENERATIONS});
  return 0;
}

static int stay(void* argument) {
  (void)argument;
  pid_t sid = getsid(0);
  child_wait();
  CHECK_EQ(getsid(0), sid, "the session of an orphan");
  return child_failures();
}

static int leave_session(void* argument) {
  pid_t child = spawn(stay, NULL);
  MUST(setsid());
  ((_Atomic int*)told)[6] = 1;
  stay(argument);
  expect_exit(child, 0, "who has not left the session");
  return child_failures();
}

static int leave_two_behind(void* argument) {
  MUST(setsid());
  spawn(leave_session, argument);
  while (((_Atomic int*)told)[6] == 0) sched_yield();
  spawn(stay, NULL);
  return 0;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  told = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MUST(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
  int first = 0;
  pid_t leader = spawn(leave_behind, &first);
  expect_exit(leader, 0, "the leader");
  expect_exit(spawn(leave_two_behind, NULL), 0, "the other leader");
  for (int i = 0; i <= GENERATIONS; i++)
    while (((volatile int*)told)[i] == 0) sched_yield();
  victim_wait();
  int status, orphans = 0;
  while (waitpid(-1, &status, 0) > 0) {
    orphans++;
    CHECK_EQ(status, 0, "the end of an orphan");
  }
  CHECK_EQ(orphans, 4, "orphans");
  return victim_end();
}
