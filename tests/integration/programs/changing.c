// changing GO-FILE MIB exec|forks|daemons: a tree that changes all the time until the go file exists.
//   exec     a process and its child execute themselves anew ten times a second, with other memory each time
//   forks    a process forks others that inherit its memory, write some of it and end after some tenths of a second
//   daemons  the same, but each forking process ends, and they make posix sessions; the first process adopts them
// Every process checks its memory at the end of its life.
#include "../../victims/process/tree/tree.h"

enum { kAtOnce = 4 };

static uint64_t* memory;
static size_t bytes;

static void nap_ms(int ms) {
  int64_t until = clock_ns(CLOCK_MONOTONIC) + ms * 1000000LL;
  struct timespec nap = {0, 5000000};
  while (clock_ns(CLOCK_MONOTONIC) < until && access(victim_go, F_OK) != 0) nanosleep(&nap, NULL);
}

// For `exec`: argv[4] is the number of turns, argv[5] the child's PID, or 0 in the child itself.
static int exec_again(char** argv, uint64_t turn, pid_t child) {
  fill(memory, bytes, turn);
  for (int i = 0; i < 20 && access(victim_go, F_OK) != 0; i++) {
    nap_ms(5);
    memory[(size_t)i * 512] ^= 1;
  }
  for (size_t i = 0; i < 20; i++) memory[i * 512] = pattern(turn, i * 512);
  check_fill(memory, bytes, turn, "the memory of one life");
  if (victim_failures > 0) return 1;
  if (access(victim_go, F_OK) == 0) {
    if (child != 0) expect_exit(child, 0, "the child");
    return child != 0 ? victim_end() : child_failures();
  }
  char count[32], pid[32];
  snprintf(count, sizeof count, "%llu", (unsigned long long)turn + 1);
  snprintf(pid, sizeof pid, "%d", (int)child);
  execl("/proc/self/exe", "changing", argv[1], argv[2], "exec", count, pid, NULL);
  victim_fail("exec: %s", strerror(errno));
  return 1;
}

static int live(void* argument) {
  uint64_t me = *(uint64_t*)argument;
  size_t first = pattern(me, 1) % (bytes / PAGE - 8) * 512;
  for (size_t i = 0; i < 8; i++) {
    nap_ms(20);
    memory[first + i * 512] = me;
  }
  nap_ms(150);
  for (size_t i = 0; i < 8; i++) {
    CHECK_EQ(memory[first + i * 512], me, "what it wrote itself");
    memory[first + i * 512] = pattern(7, first + i * 512);
  }
  check_fill(memory, bytes, 7, "the memory that it inherited");
  return child_failures();
}

static int leave(void* argument) {
  pid_t pid = spawn(live, argument);
  (void)pid;
  nap_ms(90);
  return 0;
}

static int live_as_daemon(void* argument) {
  nap_ms(70);
  if (setsid() < 0) return 9;
  return live(argument);
}

static int leave_daemon(void* argument) {
  spawn(live_as_daemon, argument);
  return leave(argument);
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  victim_loose_maps = victim_loose_status = true;
  bytes = strtoull(argv[2], NULL, 10) << 20;
  memory = map_anon(bytes);
  bool daemons = strcmp(argv[3], "daemons") == 0;
  if (strcmp(argv[3], "exec") == 0) {
    uint64_t turn = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
    pid_t child = argc > 5 ? atoi(argv[5]) : 0;
    if (argc <= 5 && (child = fork()) != 0) victim_say("ready\n");
    return exec_again(argv, turn, child);
  }
  fill(memory, bytes, 7);
  if (daemons) MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
  victim_say("ready\n");
  uint64_t count = 0, ended = 0, alive = 0;
  while (access(victim_go, F_OK) != 0 || alive > 0) {
    bool stop = access(victim_go, F_OK) == 0;
    if (!stop && alive < kAtOnce) {
      count++;
      spawn(daemons ? leave_daemon : live, &count);
      alive += daemons ? 3 : 1;
    }
    nap_ms(30);
    int status = 0;
    pid_t pid;
    while ((pid = waitpid(-1, &status, stop ? 0 : WNOHANG)) > 0) {
      CHECK(status == 0, "process %d: wait status 0x%x", (int)pid, status);
      ended++;
      alive--;
    }
    if (stop && pid < 0 && errno == ECHILD) break;  // before that, all may have ended for a moment
  }
  check_fill(memory, bytes, 7, "the memory of the first process");
  return victim_end();
}
