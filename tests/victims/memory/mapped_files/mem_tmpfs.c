// Files of tmpfs that related processes map: /dev/zero, shared and private; a file whose name is removed; one that has
// its name, and one that is also open for appending.
#include "tests/victims/process/tree/tree.h"

static char *zero, *nameless, *named;

static const char* on_tmpfs(const char* suffix) {
  static char path[2][100];
  static int next;
  static long long tag;
  if (tag == 0) tag = clock_ns(CLOCK_REALTIME);
  char* mine = path[next++ & 1];
  snprintf(mine, 100, "/dev/shm/crx-victim-%llx-%s", tag, suffix);
  return mine;
}

static char* map_shared(const char* path, int* file) {
  *file = MUST(open(path, O_RDWR | O_CREAT, 0600));
  if (strcmp(path, "/dev/zero") != 0) MUST(ftruncate(*file, 4 * PAGE));
  char* at = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, *file, 0);
  if (at == MAP_FAILED) victim_setup_failed("mmap", __LINE__);
  return at;
}

static int child(void* argument) {
  (void)argument;
  child_wait();
  CHECK(strcmp(zero, "parent") == 0 && strcmp(nameless, "nameless") == 0 && strcmp(named, "named") == 0,
        "the child sees others");
  strcpy(zero + PAGE, "child");
  strcpy(nameless + PAGE, "child");
  strcpy(named + PAGE, "child");
  return child_failures();
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  victim_loose_maps = true;  // the name of a file without one may change
  const char *kept = on_tmpfs("kept"), *gone = on_tmpfs("gone");
  int device, file, other;
  zero = map_shared("/dev/zero", &device);
  char* private = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, device, 0);
  strcpy(private, "private");
  nameless = map_shared(gone, &other);
  MUST(unlink(gone));
  named = map_shared(kept, &file);
  int appending = MUST(open(kept, O_WRONLY | O_APPEND));
  strcpy(nameless, "nameless");
  strcpy(named, "named");
  close(device);
  close(file);
  close(other);
  pid_t pid = spawn(child, NULL);
  strcpy(zero, "parent");

  victim_wait();

  expect_exit(pid, 0, "the child");
  CHECK(strcmp(private, "private") == 0, "a private mapping of /dev/zero");
  check_zero(private + PAGE, PAGE, "its rest");
  CHECK(strcmp(zero + PAGE, "child") == 0, "/dev/zero is not shared");
  CHECK(strcmp(nameless + PAGE, "child") == 0, "a file without a name is not shared");
  CHECK(strcmp(named + PAGE, "child") == 0, "a file is not shared");
  CHECK(write(appending, "end", 3) == 3, "appending: %s", strerror(errno));
  struct stat about;
  CHECK(stat(kept, &about) == 0 && about.st_size == (off_t)(4 * PAGE + 3), "its size: %lld", (long long)about.st_size);
  MUST(unlink(kept));
  return victim_end();
}
