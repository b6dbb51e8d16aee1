// Leaders that are zombies while other processes are in their posix session or group: a session with a zombie leader
// and a stopped member; a group with a zombie leader and a running member; a stopped job of two.
#include "tests/victims/process/tree/tree.h"

static pid_t* told;  // reported by children: their session, their number

static int wait_in(void* argument) {
  (void)argument;
  pid_t sid = getsid(0);
  child_wait();
  CHECK_EQ(getsid(0), sid, "a member's session");
  return child_failures();
}

// The child's parent leads the session and ends.
static int stop_in_session(void* argument) {
  (void)argument;
  pid_t sid = getsid(0);
  MUST(setpgid(0, 0));
  while (getppid() == sid) sched_yield();
  told[0] = getpid();
  raise(SIGSTOP);
  child_wait();
  CHECK_EQ(getsid(0), sid, "the session of an ended leader");
  CHECK_EQ(getpgrp(), getpid(), "a group in it");
  return child_failures();
}

static int lead_session(void* argument) {
  MUST(setsid());
  spawn(stop_in_session, argument);
  return 8;
}

static int lead_group(void* argument) {
  (void)argument;
  MUST(setpgid(0, 0));
  told[1] = getpid();
  while (told[2] == 0) sched_yield();
  return 7;
}

static int stop_job(void* argument) {
  MUST(setpgid(0, 0));
  raise(SIGTSTP);
  return wait_in(argument);
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  told = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MUST(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
  siginfo_t info;
  int status;
  pid_t leader = spawn(lead_session, NULL);
  MUST(waitid(P_PID, (id_t)leader, &info, WEXITED | WNOWAIT));
  while (told[0] == 0) sched_yield();
  pid_t orphan = told[0];
  MUST(waitpid(orphan, &status, WUNTRACED));

  pid_t first = spawn(lead_group, NULL), member = spawn(wait_in, NULL);
  while (told[1] == 0) sched_yield();
  MUST(setpgid(member, first));
  told[2] = 1;
  MUST(waitid(P_PID, (id_t)first, &info, WEXITED | WNOWAIT));

  pid_t job = spawn(stop_job, NULL), other = spawn(wait_in, NULL);
  MUST(waitpid(job, &status, WUNTRACED));
  MUST(setpgid(other, job));

  victim_wait();

  CHECK_EQ(getsid(orphan), leader, "the orphan's session");
  CHECK_EQ(getsid(leader), leader, "the zombie's session");
  CHECK_EQ(getpgid(member), first, "the member's group");
  CHECK_EQ(getpgid(other), job, "the group of the job");
  kill(orphan, SIGCONT);
  kill(-job, SIGCONT);
  expect_exit(leader, 8, "the leader of a session");
  expect_exit(first, 7, "the leader of a group");
  expect_exit(orphan, 0, "the orphan");
  expect_exit(job, 0, "the job");
  int rest = 0;
  while (waitpid(-1, &status, 0) > 0) rest += status == 0 ? 1 : 100;
  CHECK_EQ(rest, 2, "the members");
  return victim_end();
}
