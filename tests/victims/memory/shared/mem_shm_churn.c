// Shared mappings of memory and of a file that grow and shrink all the time; another process sees all of their content.
#include "tests/victims/process/tree/tree.h"

#define PAGES 4000

static _Atomic int* stop;

// Writes each page's number, window by window; checks the results of mremap and the previous content.
static int change(char* at, int step) {
  long pages = PAGES;
  for (int turn = 0; !*stop; turn++) {
    long wanted = 1 + (turn * (long)step) % PAGES;
    at = mremap(at, (size_t)pages * PAGE, (size_t)wanted * PAGE, MREMAP_MAYMOVE);
    if (at == MAP_FAILED) {
      victim_fail("from %ld to %ld pages: %s", pages, wanted, strerror(errno));
      break;
    }
    pages = wanted;
    long* last = (long*)(at + (pages - 1) * (long)PAGE);
    CHECK(*last == 0 || *last == pages, "page %ld holds %ld", pages, *last);
    *last = pages;
  }
  return child_failures();
}

static char* map_shared(int fd) {
  char* at = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) victim_setup_failed("mmap", __LINE__);
  return at;
}

static int child(void* at) {
  return change(at, 7);
}
static int other_child(void* at) {
  return change(at, 13);
}

static void check_all(const char* at, const char* what) {
  for (long i = 0; i < PAGES; i++) {
    const long found = *(const long*)(at + i * (long)PAGE);
    if (found == 0 || found == i + 1) continue;
    victim_fail("%s: page %ld holds %ld", what, i + 1, found);
    return;
  }
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  stop = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int fd = MUST(open(own_path("file"), O_CREAT | O_RDWR, 0600));
  MUST(ftruncate(fd, PAGES * PAGE));
  char* memory = map_shared(-1);
  char* file = map_shared(fd);
  pid_t first = spawn(child, memory), second = spawn(other_child, file);

  victim_wait();

  *stop = 1;
  expect_exit(first, 0, "who changes the memory");
  expect_exit(second, 0, "who changes the file");
  check_all(memory, "memory");
  check_all(file, "the file");
  return victim_end();
}
