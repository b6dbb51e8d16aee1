// Pending signals with their siginfo, in order: in the process's queue and in a thread's.
#include "tests/victims/victim.h"
static _Atomic int go, queued;
static pid_t thread_id;

static void expect(const char* who, int number, int code, int value) {
  sigset_t set;
  siginfo_t info;
  struct timespec none = {0, 0};
  sigemptyset(&set);
  sigaddset(&set, number);
  // Not glibc's function, which turns SI_TKILL into SI_USER.
  if (syscall(SYS_rt_sigtimedwait, &set, &info, &none, 8) != number) {
    victim_fail("%s: signal %d is not pending: %s", who, number, strerror(errno));
    return;
  }
  CHECK(info.si_code == code, "%s: signal %d: si_code %d, not %d", who, number, info.si_code, code);
  CHECK(info.si_pid == getpid() && info.si_uid == getuid(), "%s: signal %d: from %d", who, number, info.si_pid);
  if (code == SI_QUEUE) CHECK_EQ(info.si_value.sival_int, value, "si_value");
}
static void queue_to(pid_t tid, int number, int value) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  info.si_signo = number;
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  info.si_value.sival_int = value;
  MUST((int)syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, number, &info));
}
static void* body(void* unused) {
  thread_id = (pid_t)syscall(SYS_gettid);
  queue_to(thread_id, SIGRTMIN + 1, 71);
  queue_to(thread_id, SIGRTMIN + 1, 72);
  MUST((int)syscall(SYS_tgkill, getpid(), thread_id, SIGUSR2));
  queued = 1;
  wait_change(&go, 0);
  expect("thread", SIGUSR2, SI_TKILL, 0);
  expect("thread", SIGRTMIN + 1, SI_QUEUE, 71);
  expect("thread", SIGRTMIN + 1, SI_QUEUE, 72);
  return unused;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  pthread_t thread = start_thread(body, NULL);
  wait_change(&queued, 0);
  MUST(kill(getpid(), SIGUSR1));
  MUST(kill(getpid(), SIGTERM));
  for (int i = 0; i < 5; i++) MUST(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 100 + i}));
  MUST(sigqueue(getpid(), SIGRTMAX, (union sigval){.sival_int = -1}));
  queue_to(getpid(), SIGRTMIN + 2, 200);  // for the main thread alone

  victim_wait();

  expect("process", SIGUSR1, SI_USER, 0);
  expect("process", SIGTERM, SI_USER, 0);
  for (int i = 0; i < 5; i++) expect("process", SIGRTMIN, SI_QUEUE, 100 + i);
  expect("process", SIGRTMAX, SI_QUEUE, -1);
  expect("main thread", SIGRTMIN + 2, SI_QUEUE, 200);
  go = 1;
  pthread_join(thread, NULL);
  sigset_t left;
  sigpending(&left);
  for (int i = 1; i < 65; i++) CHECK(!sigismember(&left, i), "signal %d is pending as well", i);
  return victim_end();
}
