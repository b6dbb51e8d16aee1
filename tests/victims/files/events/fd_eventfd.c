// eventfd: count, semaphore mode, flags.
#include "tests/victims/victim.h"

#include <sys/eventfd.h>

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int plain = MUST(eventfd(7, EFD_CLOEXEC)), semaphore = MUST(eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK));
  int big = MUST(eventfd(0, EFD_NONBLOCK)), shared = MUST(dup(plain));
  uint64_t most = 0xfffffffffffffffe, value = 0;
  MUST(write(big, &most, 8));
  victim_wait();
  CHECK(read(shared, &value, 8) == 8 && value == 7, "count is %llu", (unsigned long long)value);
  for (int i = 0; i < 3; i++)
    CHECK(read(semaphore, &value, 8) == 8 && value == 1, "semaphore: %llu", (unsigned long long)value);
  CHECK(read(semaphore, &value, 8) == -1 && errno == EAGAIN, "the semaphore has more");
  CHECK(read(big, &value, 8) == 8 && value == most, "the largest count: %llx", (unsigned long long)value);
  value = 5;
  MUST(write(plain, &value, 8));
  CHECK(read(shared, &value, 8) == 8 && value == 5, "the duplicate is another eventfd");
  return victim_end();
}
