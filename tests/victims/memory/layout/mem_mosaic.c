// One mapping that mprotect has split into 13,000, with content in each.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_loose_maps = true;
  victim_start(argc, argv);
  enum { N = 13000 };
  char* at = map_anon(N * PAGE);
  for (int i = 0; i < N; i++) *(uint64_t*)(at + i * PAGE) = pattern(1, i);
  for (int i = 0; i < N; i += 2) MUST(mprotect(at + i * PAGE, PAGE, i % 4 ? PROT_READ : PROT_READ | PROT_EXEC));

  victim_wait();

  for (int i = 0; i < N; i++)
    if (*(uint64_t*)(at + i * PAGE) != pattern(1, i)) {
      victim_fail("page %d", i);
      break;
    }
  for (int i = 1; i < N; i += 2) *(uint64_t*)(at + i * PAGE) = 1;
  MUST(mprotect(at, N * PAGE, PROT_READ | PROT_WRITE));
  for (int i = 0; i < N; i++) *(uint64_t*)(at + i * PAGE) = 2;
  return victim_end();
}
