// Descriptors of /proc files of the process itself and of others.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char text[4096], path[64];
  int status = MUST(open("/proc/self/status", O_RDONLY)), half = MUST(open("/proc/self/status", O_RDONLY));
  CHECK_EQ(read(half, text, 10), 10, "reading the start");
  int memory = MUST(open("/proc/self/mem", O_RDWR | O_CLOEXEC)),
      self = MUST(open("/proc/self", O_RDONLY | O_DIRECTORY));
  int fds = MUST(open("/proc/self/fd", O_RDONLY | O_DIRECTORY)), load = MUST(open("/proc/loadavg", O_RDONLY));
  int name = MUST(open("/proc/self/comm", O_RDWR)), exe = MUST(open("/proc/self/exe", O_PATH | O_NOFOLLOW));
  snprintf(path, sizeof path, "/proc/%d/task/%d/stat", getpid(), getpid());
  int thread = MUST(open(path, O_RDONLY));
  volatile uint64_t word = 0x1234567;

  victim_wait();

  snprintf(path, sizeof path, "\nPid:\t%d\n", getpid());
  CHECK(pread(status, text, sizeof text - 1, 0) > 0 && strstr(text, path) != NULL, "status of somebody else");
  CHECK_EQ(lseek(half, 0, SEEK_CUR), 10, "position");
  CHECK(read(half, text, sizeof text) > 100, "the rest of the status");
  uint64_t got = 0;
  CHECK(pread(memory, &got, 8, (off_t)(uintptr_t)&word) == 8 && got == 0x1234567, "own memory");
  got = 7;
  CHECK(pwrite(memory, &got, 8, (off_t)(uintptr_t)&word) == 8 && word == 7, "writing own memory");
  struct stat one, two;
  MUST(fstat(self, &one));
  MUST(stat("/proc/self/", &two));
  CHECK(one.st_ino == two.st_ino, "the directory is another one");
  CHECK(faccessat(fds, "0", F_OK, 0) == 0, "descriptors of somebody else");
  CHECK(pread(load, text, sizeof text, 0) > 5, "load average");
  CHECK(write(name, "renamed", 7) == 7 && pread(name, text, 8, 0) == 8 && memcmp(text, "renamed\n", 8) == 0, "name");
  char link[256] = "", want[256] = "";
  MUST(readlinkat(exe, "", link, sizeof link - 1));
  MUST(readlink("/proc/self/exe", want, sizeof want - 1));
  CHECK(strcmp(link, want) == 0, "executable: %s", link);
  CHECK(pread(thread, text, sizeof text, 0) > 0 && atoi(text) == getpid(), "thread");
  prctl(PR_SET_NAME, "fd_proc");
  return victim_end();
}
