// Programs close to their limits of address space, data, descriptors, file size, locked memory, signals and processes:
// one of the test's user, and its child of an ordinary user.
#include "tests/victims/process/tree/tree.h"

#define MEMORY (32UL << 20)
#define FILE_BYTES 1000000

static char* memory;

static long status_kib(const char* name) {
  char text[8192];
  read_file("/proc/self/status", text, sizeof text);
  return atol(strstr(text, name) + strlen(name));
}

static void limit(int which, long value) {
  struct rlimit both = {(rlim_t)value, (rlim_t)value};
  MUST(setrlimit((__rlimit_resource_t)which, &both));
}

static void check_limits(const struct rlimit* before, int file) {
  for (int i = 0; i < (int)RLIM_NLIMITS; i++) {
    struct rlimit now;
    getrlimit((__rlimit_resource_t)i, &now);
    CHECK(now.rlim_cur == before[i].rlim_cur && now.rlim_max == before[i].rlim_max, "limit %d", i);
  }
  check_fill(memory, MEMORY, 5, "memory");
  CHECK(mmap(NULL, 2 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED, "there is more memory");
  CHECK(dup(file) == -1 && errno == EMFILE, "there are more descriptors");
  CHECK(pwrite(file, "x", 1, FILE_BYTES - 1) == 1, "writing below the limit: %s", strerror(errno));
  CHECK(pwrite(file, "x", 1, FILE_BYTES) == -1 && errno == EFBIG, "the file may grow");
}

static int ordinary(void* argument) {
  struct rlimit before[RLIM_NLIMITS];
  MUST(setresgid(4321, 4321, 4321));
  MUST(setresuid(4321, 4321, 4321));
  for (int i = 0; i < (int)RLIM_NLIMITS; i++) MUST(getrlimit((__rlimit_resource_t)i, &before[i]));
  child_wait();
  check_limits(before, *(int*)argument);
  return child_failures();
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  struct rlimit before[RLIM_NLIMITS];
  memory = map_anon(MEMORY);
  fill(memory, MEMORY, 5);
  MUST(mlock(memory, 1 << 20));
  int file = MUST(open(own_path("file"), O_RDWR | O_CREAT, 0600));
  MUST(pwrite(file, "x", 1, FILE_BYTES - 1));
  signal(SIGXFSZ, SIG_IGN);
  limit(RLIMIT_FSIZE, FILE_BYTES);
  limit(RLIMIT_MEMLOCK, 1 << 20);
  limit(RLIMIT_SIGPENDING, 0);
  limit(RLIMIT_MSGQUEUE, 0);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_DATA, status_kib("VmData:") * 1024 + (long)PAGE);
  limit(RLIMIT_AS, (status_kib("VmSize:") + 1024) * 1024);
  limit(RLIMIT_NPROC, 1);
  limit(RLIMIT_NOFILE, file + 1);
  pid_t child = spawn(ordinary, &file);
  for (int i = 0; i < (int)RLIM_NLIMITS; i++) MUST(getrlimit((__rlimit_resource_t)i, &before[i]));

  victim_wait();

  check_limits(before, file);
  expect_exit(child, 0, "the program of an ordinary user");
  unlink(own_path("file"));
  return victim_end();
}
