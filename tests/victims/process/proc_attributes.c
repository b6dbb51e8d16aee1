// Dumpable, parent-death signal, child subreaper, OOM score, timer slack, core dump filter, keep-caps, MCE
// policy.
#include "tests/victims/victim.h"

static void write_proc(const char* path, const char* text) {
  int fd = MUST(open(path, O_WRONLY));
  MUST(write(fd, text, strlen(text)));
  close(fd);
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char text[64];
  int value = 0;
  MUST(prctl(PR_SET_PDEATHSIG, SIGUSR2));
  signal(SIGUSR2, SIG_IGN);
  MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
  write_proc("/proc/self/oom_score_adj", "321");
  write_proc("/proc/self/coredump_filter", "0x15");
  MUST(prctl(PR_SET_TIMERSLACK, 123456));
  victim_wait();
  MUST(prctl(PR_GET_PDEATHSIG, &value));
  CHECK_EQ(value, SIGUSR2, "parent-death signal");
  MUST(prctl(PR_GET_CHILD_SUBREAPER, &value));
  CHECK_EQ(value, 1, "child subreaper");
  CHECK_EQ(prctl(PR_GET_TIMERSLACK), 123456, "timer slack");
  CHECK_EQ(prctl(PR_GET_DUMPABLE), 1, "dumpable");
  read_file("/proc/self/oom_score_adj", text, sizeof text);
  CHECK_EQ(atoi(text), 321, "oom_score_adj");
  read_file("/proc/self/coredump_filter", text, sizeof text);
  CHECK_EQ(strtol(text, NULL, 16), 0x15, "coredump_filter");
  return victim_end();
}
