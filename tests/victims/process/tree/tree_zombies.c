// Zombie children, ended by exit code and by signal; no SIGCHLD comes twice.
#include "tests/victims/process/tree/tree.h"

static _Atomic int told;
static void on_child(int signal) {
  (void)signal;
  told++;
}

static int end_with(void* argument) {
  return *(int*)argument;
}
static int end_by(void* argument) {
  struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  signal(*(int*)argument, SIG_DFL);
  raise(*(int*)argument);
  return 99;
}

static void await_zombie(pid_t pid) {
  siginfo_t info;
  MUST(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int codes[] = {0, 1, 77, 255}, signals[] = {SIGKILL, SIGTERM, SIGSEGV, SIGUSR1, SIGRTMIN + 3};
  pid_t exited[4], killed[5];
  for (int i = 0; i < 4; i++) exited[i] = spawn(end_with, &codes[i]);
  for (int i = 0; i < 5; i++) killed[i] = spawn(end_by, &signals[i]);
  for (int i = 0; i < 4; i++) await_zombie(exited[i]);
  for (int i = 0; i < 5; i++) await_zombie(killed[i]);
  struct sigaction action = {.sa_handler = on_child, .sa_flags = SA_RESTART};
  MUST(sigaction(SIGCHLD, &action, NULL));
  victim_wait();
  CHECK_EQ(told, 0, "SIGCHLDs that came");
  for (int i = 0; i < 4; i++) expect_exit(exited[i], codes[i], "a zombie");
  for (int i = 0; i < 5; i++) {
    int status = 0;
    CHECK_EQ(waitpid(killed[i], &status, 0), killed[i], "waiting for a killed child");
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == signals[i], "wait status 0x%x, not signal %d", status, signals[i]);
  }
  CHECK_EQ(waitpid(-1, NULL, 0), -1, "more children");
  return victim_end();
}
