// A program that runs from a memfd, which it still has open.
#include "tests/victims/victim.h"

static void run_from_memfd(char* go) {
  int program = MUST(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  int memfd = MUST(memfd_create("a program", 0));
  char buffer[65536];
  ssize_t got;
  while ((got = read(program, buffer, sizeof buffer)) > 0) MUST(write(memfd, buffer, (size_t)got));
  MUST(fchmod(memfd, 0755));
  char number[16];
  snprintf(number, sizeof number, "%d", memfd);
  char* const arguments[] = {"from a memfd", go, number, NULL};
  char* const environment[] = {"A=b", NULL};
  fexecve(memfd, arguments, environment);
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  if (argc == 2) {
    run_from_memfd(argv[1]);
    victim_setup_failed("fexecve", __LINE__);
  }
  char before[200] = "", now[200] = "", magic[4] = "";
  MUST(readlink("/proc/self/exe", before, sizeof before - 1));

  victim_wait();

  MUST(readlink("/proc/self/exe", now, sizeof now - 1));
  CHECK(strcmp(before, now) == 0 && strstr(now, "memfd:a program") != NULL, "it runs %s, not %s", now, before);
  struct stat running, open_one;
  CHECK(stat("/proc/self/exe", &running) == 0 && fstat(atoi(argv[2]), &open_one) == 0 &&
            running.st_ino == open_one.st_ino,
        "what it runs is not what it has open");
  CHECK(pread(atoi(argv[2]), magic, 4, 0) == 4 && memcmp(magic, "\177ELF", 4) == 0, "content");
  return victim_end();
}
