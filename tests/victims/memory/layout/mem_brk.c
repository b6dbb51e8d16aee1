// The heap: its content and its end; brk and malloc still work.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char* start = sbrk(0);
  MUST((long)sbrk(3 << 20));
  fill(start, 3 << 20, 11);
  void* blocks[500];
  for (int i = 0; i < 500; i++) fill(blocks[i] = malloc(1024), 1024, (uint64_t)i);
  char* end = sbrk(0);

  victim_wait();

  CHECK((char*)sbrk(0) == end, "the break is %p, not %p", sbrk(0), (void*)end);
  check_fill(start, 3 << 20, 11, "heap");
  for (int i = 0; i < 500; i++) check_fill(blocks[i], 1024, (uint64_t)i, "malloc block");
  CHECK((char*)sbrk(1 << 20) == end, "sbrk does not grow the heap: %s", strerror(errno));
  fill(end, 1 << 20, 12);
  check_fill(end, 1 << 20, 12, "grown heap");
  CHECK(sbrk(-(1 << 20)) != (void*)-1, "sbrk does not shrink the heap");
  for (int i = 0; i < 500; i++) free(blocks[i]);
  char* big = malloc(32 << 20);
  CHECK(big != NULL, "malloc of 32 MiB");
  if (big) memset(big, 1, 32 << 20);
  return victim_end();
}
