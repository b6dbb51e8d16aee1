// Private anonymous memory: full, sparse, zeroed, dropped and never touched; still writable afterwards.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char* full = map_anon(8 << 20);
  fill(full, 8 << 20, 1);
  char* sparse = map_anon(64 << 20);
  for (size_t at = 0; at < 64 << 20; at += 17 * PAGE) fill(sparse + at, PAGE, 2 + at);
  char* untouched = map_anon(16 << 20);
  char* zeroed = map_anon(1 << 20);
  fill(zeroed, 1 << 20, 3);
  memset(zeroed, 0, 1 << 20);
  char* emptied = map_anon(1 << 20);
  fill(emptied, 1 << 20, 4);
  madvise(emptied, 512 << 10, MADV_DONTNEED);
  char* only_read = map_anon(1 << 20);
  volatile char sum = 0;
  for (size_t at = 0; at < 1 << 20; at += PAGE) sum += only_read[at];
  (void)sum;

  victim_wait();

  check_fill(full, 8 << 20, 1, "full");
  for (size_t at = 0; at < 64 << 20; at += 17 * PAGE) {
    check_fill(sparse + at, PAGE, 2 + at, "sparse");
    check_zero(sparse + at + PAGE, PAGE, "hole in sparse");
  }
  check_zero(untouched, 16 << 20, "untouched");
  check_zero(zeroed, 1 << 20, "zeroed");
  check_zero(emptied, 512 << 10, "emptied");
  CHECK(*(uint64_t*)(emptied + (512 << 10)) == pattern(4, (512 << 10) / 8), "the part that was not emptied");
  check_zero(only_read, 1 << 20, "only read");
  fill(untouched, 16 << 20, 5);
  check_fill(untouched, 16 << 20, 5, "written after the move");
  return victim_end();
}
