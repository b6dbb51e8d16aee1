// Memory in transparent huge pages: content, and that it can be written while it is being moved.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  size_t huge = 2 << 20, length = 8 * huge;
  char* place = map_anon(length + huge);
  char* at = (char*)(((uintptr_t)place + huge - 1) & ~(huge - 1));
  MUST(madvise(at, length, MADV_HUGEPAGE));
  fill(at, length, 91);
  for (size_t page = 0; page < length; page += 100 * PAGE) fill(at + page, PAGE, page);
  MUST(madvise(at + 3 * huge + 5 * PAGE, 9 * PAGE, MADV_DONTNEED));  // splits one of them
  victim_wait();
  for (size_t page = 0; page < length; page += PAGE) {
    if (page >= 3 * huge + 5 * PAGE && page < 3 * huge + 14 * PAGE)
      check_zero(at + page, PAGE, "hole in a huge page");
    else if (page % (100 * PAGE) == 0)
      check_fill(at + page, PAGE, page, "page of its own");
    else
      CHECK(*(uint64_t*)(at + page) == pattern(91, page / 8), "page %zu", page / PAGE);
  }
  CHECK(has_flag(at, "hg"), "MADV_HUGEPAGE is lost");
  return victim_end();
}
