// counters PREFIX STOP-FILE [again]: a root with a thread and two children with a thread each. Each of the six threads
// appends the next number to a file of its own, PREFIX.0 to PREFIX.5, every 5 ms until the stop file exists; a gap, or
// a number that comes twice, shows that a part was lost or ran in two places. SIGUSR1 makes the root fork a third child
// (PREFIX.6 and PREFIX.7), SIGUSR2 makes it execute itself anew ("again"). A thread goes on after the last number in
// its file. The root prints PASS if all children that were not killed ended well.
#include "../../victims/victim.h"

static const char *prefix, *stop;
static volatile sig_atomic_t wants_fork, wants_exec;

static void on_signal(int number) {
  if (number == SIGUSR1) wants_fork = 1;
  if (number == SIGUSR2) wants_exec = 1;
}

static long last_number(int fd) {
  char text[64] = "";
  off_t size = lseek(fd, 0, SEEK_END);
  if (size == 0) return -1;
  off_t from = size > 32 ? size - 32 : 0;
  ssize_t length = pread(fd, text, (size_t)(size - from), from);
  while (length > 0 && text[length - 1] == '\n') text[--length] = 0;
  char* line = strrchr(text, '\n');
  return atol(line ? line + 1 : text);
}

static void step(int fd, long number) {
  dprintf(fd, "%ld\n", number);
  struct timespec pause = {0, 5000000};
  while (nanosleep(&pause, &pause) != 0 && errno == EINTR) {
  }
}

static int open_output(long index) {
  char path[4096];
  snprintf(path, sizeof path, "%s.%ld", prefix, index);
  return MUST(open(path, O_RDWR | O_CREAT | O_APPEND, 0644));
}

static void* count(void* index) {
  int fd = open_output((long)index);
  for (long number = last_number(fd) + 1; access(stop, F_OK) != 0; number++) step(fd, number);
  return NULL;
}

static void child(long index) {
  pid_t made = MUST(fork());
  if (made != 0) return;
  signal(SIGUSR1, SIG_DFL);
  signal(SIGUSR2, SIG_DFL);
  pthread_t thread;
  pthread_create(&thread, NULL, count, (void*)(index + 1));
  count((void*)index);
  pthread_join(thread, NULL);
  _exit(0);
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  prefix = argv[1];
  stop = argv[2];
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  sigaction(SIGUSR1, &action, NULL);
  sigaction(SIGUSR2, &action, NULL);
  if (argc == 3) {
    child(2);
    child(4);
  }
  pthread_t thread;
  pthread_create(&thread, NULL, count, (void*)1L);
  int fd = open_output(0);
  for (long number = last_number(fd) + 1; access(stop, F_OK) != 0; number++) {
    step(fd, number);
    if (wants_fork) child(6);
    wants_fork = 0;
    if (wants_exec) execl("/proc/self/exe", argv[0], prefix, stop, "again", NULL);
  }
  pthread_join(thread, NULL);
  for (int status; wait(&status) > 0;)
    if (status != 0 && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
      victim_fail("a child ended with status 0x%x", status);
  return victim_end();
}
