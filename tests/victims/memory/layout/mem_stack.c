// Stacks: a deep main stack, its growth afterwards, and a MAP_GROWSDOWN mapping that still grows.
#include "tests/victims/victim.h"

static int deep(int depth, char* outer) {
  char frame[8192];
  fill(frame, sizeof frame, (uint64_t)depth);
  if (depth > 0)
    deep(depth - 1, frame);
  else
    victim_wait();
  check_fill(frame, sizeof frame, (uint64_t)depth, "stack frame");
  CHECK(outer == NULL || outer > frame, "frames out of order");
  return frame[5];
}

static int grow(int depth) {
  volatile char frame[8192];
  memset((char*)frame, depth, sizeof frame);
  return depth == 0 ? 0 : grow(depth - 1) + frame[1];
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  // A mapping well below it would stop its growth: reserve the space and keep only the top.
  char* place = map_anon(4 << 20);
  munmap(place, 4 << 20);
  char* down = mmap(place + (3 << 20), 16 * PAGE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
  MUST((long)down);
  fill(down, 16 * PAGE, 21);
  fill(down - PAGE, PAGE, 22);
  fill(down - 4 * PAGE, PAGE, 23);
  CHECK(has_flag(down, " gd") || has_flag(down, "gd "), "no growsdown mapping to begin with");

  deep(40, NULL);

  check_fill(down, 16 * PAGE, 21, "growsdown mapping");
  check_fill(down - PAGE, PAGE, 22, "grown page");
  check_fill(down - 4 * PAGE, PAGE, 23, "page grown by 4");
  CHECK(has_flag(down, " gd") || has_flag(down, "gd "), "growsdown is lost");
  for (int i = 5; i < 40; i++) down[-(long)(i * PAGE)] = 1;  // SIGSEGV if it does not grow
  grow(100);
  return victim_end();
}
