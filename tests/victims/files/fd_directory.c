// Open directories: position while reading, openat.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char path[4300];
  snprintf(path, sizeof path, "%s", own_path("dir"));
  MUST(mkdir(path, 0755));
  int directory = MUST(open(path, O_RDONLY | O_DIRECTORY));
  for (int i = 0; i < 300; i++) {
    char name[32];
    snprintf(name, sizeof name, "entry-%d", i);
    close(MUST(openat(directory, name, O_WRONLY | O_CREAT, 0644)));
  }
  int handle = MUST(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
  char buffer[1024];
  static char seen[300];
  int total = 0;
  long got = MUST((long)syscall(SYS_getdents64, directory, buffer, sizeof buffer));
  bool moved = false;
  do {
    for (long at = 0; at < got;) {
      struct {
        uint64_t ino;
        int64_t off;
        unsigned short length;
        unsigned char type;
        char name[];
      }* entry = (void*)(buffer + at);
      int number;
      if (sscanf(entry->name, "entry-%d", &number) == 1 && number >= 0 && number < 300) seen[number]++, total++;
      at += entry->length;
    }
    if (!moved) victim_wait();
    moved = true;
  } while ((got = syscall(SYS_getdents64, directory, buffer, sizeof buffer)) > 0);
  CHECK_EQ(total, 300, "entries read, before and after");
  for (int i = 0; i < 300; i++) CHECK(seen[i] == 1, "entry %d was seen %d times", i, seen[i]);
  CHECK(faccessat(directory, "entry-5", F_OK, 0) == 0, "openat on the directory");
  CHECK(faccessat(handle, "entry-7", F_OK, 0) == 0, "openat on the O_PATH directory");
  return victim_end();
}
