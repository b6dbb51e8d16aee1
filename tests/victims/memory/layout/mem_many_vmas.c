// Thousands of small mappings with alternating protections.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  enum { kCount = 3000 };
  char* area = map_anon(kCount * 2 * PAGE);
  for (size_t i = 0; i < kCount; i++) {
    fill(area + 2 * i * PAGE, PAGE, i);
    if (i % 2 == 1) MUST(mprotect(area + 2 * i * PAGE, 2 * PAGE, PROT_READ));
  }
  victim_wait();
  for (size_t i = 0; i < kCount; i++) {
    check_fill(area + 2 * i * PAGE, PAGE, i, "small mapping");
    check_zero(area + (2 * i + 1) * PAGE, PAGE, "its second page");
  }
  return victim_end();
}
