// A program that maps, writes, drops, moves and unmaps memory all the time, with two threads; every area has its own
// content and is checked before it is unmapped.
#include "tests/victims/victim.h"

static _Atomic int stop;

static void* churn(void* argument) {
  uint64_t seed = (uint64_t)(uintptr_t)argument, turn = 0;
  enum { kSlots = 24 };
  struct {
    char* at;
    size_t pages;
    uint64_t seed;
    bool empty;
  } slots[kSlots] = {0};
  while (!atomic_load(&stop)) {
    uint64_t dice = pattern(seed, turn++);
    size_t slot = dice % kSlots;
    if (slots[slot].at == NULL) {
      slots[slot].pages = 2 + (dice >> 8) % 30;
      // With a PROT_NONE page at either end: an mremap over two neighbours is not what this test is about.
      char* at = mmap(NULL, (slots[slot].pages + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (at == MAP_FAILED) continue;
      slots[slot].at = at + PAGE;
      mprotect(slots[slot].at, slots[slot].pages * PAGE, PROT_READ | PROT_WRITE);
      fill(slots[slot].at, slots[slot].pages * PAGE, dice);
      slots[slot].seed = dice;
      slots[slot].empty = false;
      continue;
    }
    char* at = slots[slot].at;
    size_t length = slots[slot].pages * PAGE;
    if (slots[slot].empty)
      check_zero(at, length, "emptied memory");
    else
      check_fill(at, length, slots[slot].seed, "memory under churn");
    switch ((dice >> 16) % 4) {
      case 0:
        munmap(at - PAGE, length + 2 * PAGE);
        slots[slot].at = NULL;
        break;
      case 1:
        madvise(at, length, MADV_DONTNEED);
        slots[slot].empty = true;
        break;
      case 2: {
        char* target = mmap(NULL, length + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (target == MAP_FAILED) break;
        char* moved = mremap(at, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, target + PAGE);
        if (moved == MAP_FAILED) {
          victim_fail("mremap: %s", strerror(errno));
          break;
        }
        munmap(at - PAGE, PAGE);
        munmap(at + length, PAGE);
        slots[slot].at = moved;
        break;
      }
      default:
        fill(at, length, dice);
        slots[slot].seed = dice;
        slots[slot].empty = false;
    }
    if (turn % 64 == 0) sched_yield();
    if (turn % 256 == 0) {
      struct timespec rest = {0, 2000000};
      nanosleep(&rest, NULL);
    }
  }
  for (size_t slot = 0; slot < kSlots; slot++) {
    if (slots[slot].at == NULL) continue;
    if (slots[slot].empty)
      check_zero(slots[slot].at, slots[slot].pages * PAGE, "emptied memory, at the end");
    else
      check_fill(slots[slot].at, slots[slot].pages * PAGE, slots[slot].seed, "memory at the end");
  }
  return NULL;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  victim_loose_maps = true;
  pthread_t one = start_thread(churn, (void*)1), two = start_thread(churn, (void*)2);
  victim_wait();
  struct timespec more = {0, 100000000};
  nanosleep(&more, NULL);
  stop = 1;
  pthread_join(one, NULL);
  pthread_join(two, NULL);
  return victim_end();
}
