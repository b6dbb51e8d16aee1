// /proc files of a process and a thread that have ended: reading them fails accordingly.
#include "tests/victims/process/tree/tree.h"

#include <pthread.h>

enum { kFiles = 6 };
static const char* const names[kFiles] = {"status", "stat", "comm", "mem", "maps", ""};
static const int flags[kFiles] = {O_RDONLY, O_RDONLY, O_RDWR, O_RDWR, O_RDONLY, O_RDONLY | O_DIRECTORY};

static int wait_for_end(void* argument) {
  char byte;
  return (int)read(*(int*)argument, &byte, 1);
}

static void* wait_in_thread(void* argument) {
  wait_for_end(argument);
  return NULL;
}

struct answers {
  ssize_t read[kFiles];
  int error[kFiles];
  int entry;
};

static struct answers ask(const int* fds) {
  struct answers got = {0};
  char text[256];
  for (int i = 0; i < kFiles; i++) {
    errno = 0;
    got.read[i] = pread(fds[i], text, sizeof text, 0);
    got.error[i] = errno;
  }
  got.entry = openat(fds[kFiles - 1], "status", O_RDONLY) == -1 ? errno : 0;
  return got;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  victim_loose_status = true;
  int ends[2], threads_end[2];
  MUST(pipe(ends));
  MUST(pipe(threads_end));
  pid_t child = spawn(wait_for_end, &ends[0]);
  int fds[kFiles], thread_file;
  char path[128], text[256];
  for (int i = 0; i < kFiles; i++) {
    snprintf(path, sizeof path, "/proc/%d/%s", (int)child, names[i]);
    fds[i] = MUST(open(path, flags[i]));
  }
  CHECK_EQ(read(fds[0], text, 10), 10, "reading the start");
  pthread_t thread;
  pthread_create(&thread, NULL, wait_in_thread, &threads_end[0]);
  int tid = 0;
  DIR* tasks = opendir("/proc/self/task");
  for (struct dirent* entry; (entry = readdir(tasks)) != NULL;) {
    if (atoi(entry->d_name) > 0 && atoi(entry->d_name) != getpid()) tid = atoi(entry->d_name);
  }
  closedir(tasks);
  snprintf(path, sizeof path, "/proc/%d/task/%d/status", getpid(), tid);
  thread_file = MUST(open(path, O_RDONLY));
  MUST(write(ends[1], "xx", 1));
  expect_exit(child, 1, "the child");
  MUST(write(threads_end[1], "x", 1));
  pthread_join(thread, NULL);
  snprintf(path, sizeof path, "/proc/self/task/%d", tid);
  while (access(path, F_OK) == 0) sched_yield();
  struct answers before = ask(fds);

  victim_wait();

  struct answers after = ask(fds);
  for (int i = 0; i < kFiles; i++) {
    CHECK(after.read[i] == before.read[i] && after.error[i] == before.error[i], "%s: %zd, %d, not %zd, %d", names[i],
          after.read[i], after.error[i], before.read[i], before.error[i]);
  }
  CHECK_EQ(after.entry, before.entry, "a file in the directory");
  CHECK(pread(thread_file, text, sizeof text, 0) == -1 && errno == ESRCH, "the thread's file can be read");
  CHECK_EQ(fcntl(fds[2], F_GETFL) & O_ACCMODE, O_RDWR, "access");
  for (int i = 0; i < kFiles; i++) {
    snprintf(path, sizeof path, "/proc/self/fd/%d", fds[i]);
    ssize_t size = readlink(path, text, sizeof text - 1);
    text[size > 0 ? size : 0] = 0;
    CHECK(strncmp(text, "/proc/", 6) == 0 && strstr(text, names[i]) != NULL, "%s leads to %s", names[i], text);
  }
  return victim_end();
}
