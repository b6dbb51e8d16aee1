// Posix sessions and process groups: own ones, inherited ones, members below their leader's children, leaders gone.
#include "tests/victims/process/tree/tree.h"

static int stay(void* argument) {
  int* facts = argument;  // 1: makes a session, 2: makes a group
  if (facts[0] == 1) MUST(setsid());
  if (facts[0] == 2) MUST(setpgid(0, 0));
  pid_t sid = getsid(0), pgid = getpgrp();
  child_wait();
  CHECK_EQ(getsid(0), sid, "session");
  CHECK_EQ(getpgrp(), pgid, "process group");
  return child_failures();
}

// A leader with one child in its session and one that was forked before the session was made.
static int lead(void* argument) {
  int before = 0, after = 0, group = 2;
  int* gate = argument;
  pid_t first = spawn(stay, &before);
  MUST(setsid());
  pid_t second = spawn(stay, &after), third = spawn(stay, &group);
  pid_t sid = getsid(0);
  if (write(gate[1], "x", 1) != 1) return 3;
  child_wait();
  CHECK_EQ(getsid(0), sid, "the leader's session");
  CHECK_EQ(getsid(first) == sid, 0, "the first child is in the session");
  CHECK_EQ(getsid(second), sid, "the second child's session");
  CHECK_EQ(getsid(third), sid, "the third child's session");
  CHECK_EQ(getpgid(third), third, "the third child's group");
  expect_exit(first, 0, "the child from before the session");
  expect_exit(second, 0, "the child in the session");
  expect_exit(third, 0, "the child in a group of its own");
  return child_failures();
}

// Ends at once; its child goes on in the session (or group) that it has made.
static int leave_behind(void* argument) {
  int* facts = argument;
  if (facts[0] == 1) MUST(setsid());
  if (facts[0] == 2) MUST(setpgid(0, 0));
  int none = 0;
  spawn(stay, &none);
  return 0;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  MUST(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
  int gate[2], session = 1, group = 2;
  MUST(pipe(gate));
  pid_t own_session = spawn(stay, &session), own_group = spawn(stay, &group), leader = spawn(lead, gate);
  char byte;
  MUST(read(gate[0], &byte, 1));
  expect_exit(spawn(leave_behind, &session), 0, "a leader that ends");
  expect_exit(spawn(leave_behind, &group), 0, "a group leader that ends");
  struct timespec nap = {0, 50000000};
  nanosleep(&nap, NULL);
  victim_wait();
  expect_exit(own_session, 0, "own session");
  expect_exit(own_group, 0, "own group");
  expect_exit(leader, 0, "leader");
  int orphans = 0, status;
  while (waitpid(-1, &status, 0) > 0) {
    orphans++;
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "an orphan: wait status 0x%x", status);
  }
  CHECK_EQ(orphans, 2, "orphans");
  return victim_end();
}
