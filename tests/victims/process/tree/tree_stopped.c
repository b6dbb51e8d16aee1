// Children that job control has stopped stay stopped, continue when they are told to, and show the signal that stopped
// them.
#include "tests/victims/process/tree/tree.h"

static const int kSignals[] = {SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};
#define SIGNALS 4

static int work(void* argument) {
  (void)argument;
  child_wait();
  return 5;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  pid_t children[SIGNALS];
  siginfo_t info;
  for (int i = 0; i < SIGNALS; i++) {
    children[i] = spawn(work, NULL);
    MUST(setpgid(children[i], 0));  // in a group without a parent outside, only SIGSTOP would stop it
    MUST(kill(children[i], kSignals[i]));
    // No process has waited for this stop yet.
    MUST(waitid(P_PID, (id_t)children[i], &info, WSTOPPED | WNOWAIT));
  }
  victim_wait();
  for (int i = 0; i < SIGNALS; i++) {
    char text[4096], path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)children[i]);
    read_file(path, text, sizeof text);
    char* state = strrchr(text, ')');
    CHECK(state != NULL && state[2] == 'T', "the child is not stopped: %s", text);
    memset(&info, 0, sizeof info);
    MUST(waitid(P_PID, (id_t)children[i], &info, WSTOPPED));
    CHECK_EQ(info.si_code, CLD_STOPPED, "what has happened to the child");
    CHECK_EQ(info.si_status, kSignals[i], "what has stopped the child");
    MUST(kill(children[i], SIGCONT));
    expect_exit(children[i], 5, "the stopped child");
  }
  return victim_end();
}
