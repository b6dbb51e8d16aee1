// Objects that tasks share: anonymous memory, a memfd, open files with one position, pipes; and locks of each task.
#include "tests/victims/process/tree/tree.h"

struct shared {
  _Atomic uint64_t counts[4];
};
static struct shared* shared;
static int file, pipe_ends[2];

static int count(void* argument) {
  int me = *(int*)argument;
  while (access(victim_go, F_OK) != 0) {
    shared->counts[me]++;
    struct timespec nap = {0, 1000000};
    nanosleep(&nap, NULL);
  }
  char line[8];
  // The lines have four bytes each and are read from one position, which all processes advance.
  CHECK_EQ(read(file, line, 4), 4, "reading the shared file");
  CHECK_EQ(write(pipe_ends[1], line, 4), 4, "writing into the shared pipe");
  return child_failures();
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int memfd = MUST(memfd_create("shared", 0));
  MUST(ftruncate(memfd, 16 * PAGE));
  char* in_memfd = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
  fill(in_memfd, 16 * PAGE, 7);
  char name[4200];
  snprintf(name, sizeof name, "%s.data", victim_go);
  file = MUST(open(name, O_RDWR | O_CREAT | O_TRUNC, 0600));
  MUST(write(file, "one_two_threfour", 16));
  MUST(lseek(file, 0, SEEK_SET));
  MUST(pipe(pipe_ends));
  int numbers[4] = {0, 1, 2, 3};
  pid_t children[4];
  for (int i = 0; i < 4; i++) children[i] = spawn(count, &numbers[i]);
  victim_wait();
  uint64_t before[4];
  for (int i = 0; i < 4; i++) before[i] = shared->counts[i];
  for (int i = 0; i < 4; i++) expect_exit(children[i], 0, "a counter");
  for (int i = 0; i < 4; i++) CHECK(before[i] > 0, "counter %d never ran", i);
  check_fill(in_memfd, 16 * PAGE, 7, "the memfd");
  char all[17] = {0};
  CHECK_EQ(read(pipe_ends[0], all, 16), 16, "reading the pipe");
  for (int i = 0; i < 4; i++) {
    static const char* words[] = {"one_", "two_", "thre", "four"};
    CHECK(strstr(all, words[i]) != NULL, "%s is not among %s", words[i], all);
  }
  CHECK_EQ(lseek(file, 0, SEEK_CUR), 16, "the shared position");
  unlink(name);
  return victim_end();
}
