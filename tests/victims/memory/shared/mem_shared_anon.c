// Shared anonymous memory: content, two mappings of the same pages, pages that are in no page table any more, and that
// a child forked after the move shares it.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  size_t length = 4 << 20;
  char* one = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MUST((long)one);
  fill(one, length, 31);
  char* two = mremap(one, 0, length, MREMAP_MAYMOVE);  // a second mapping of the same memory
  MUST((long)two);
  char* part = mremap(one + (1 << 20), 0, 1 << 20, MREMAP_MAYMOVE);
  MUST((long)part);
  char* sparse = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MUST((long)sparse);
  fill(sparse + 100 * PAGE, 3 * PAGE, 32);
  madvise(sparse, length, MADV_DONTNEED);  // drops the page table entries, not the memory

  victim_wait();

  check_fill(one, length, 31, "first mapping");
  check_fill(two, length, 31, "second mapping");
  CHECK(memcmp(part, one + (1 << 20), 1 << 20) == 0, "third mapping differs");
  check_fill(sparse + 100 * PAGE, 3 * PAGE, 32, "memory that was in no page table");
  check_zero(sparse, 100 * PAGE, "hole of shared memory");
  one[(1 << 20) + 5] = 99;
  CHECK(two[(1 << 20) + 5] == 99, "the second mapping does not see a write to the first");
  CHECK(part[5] == 99, "the third mapping does not see a write to the first");
  pid_t child = fork();
  if (child == 0) {
    two[0] = 77;
    _exit(0);
  }
  waitpid(child, NULL, 0);
  CHECK(one[0] == 77, "memory is no longer shared with children");
  return victim_end();
}
