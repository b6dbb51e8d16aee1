// Shared anonymous memory that related processes see through different windows, grown by mremap, with holes and pages
// out of order (remap_file_pages).
#include "tests/victims/process/tree/tree.h"

static char* m;
static int child(void* a) {
  (void)a;
  MUST(munmap(m, 100 * PAGE));
  char* low = m + 100 * PAGE;
  child_wait();
  CHECK_EQ(*(uint64_t*)(low + 50 * PAGE), pattern(4, 150), "child sees it");
  *(uint64_t*)(low + 51 * PAGE) = 99;
  return child_failures();
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  m = mmap(NULL, 256 * PAGE, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < 256; i += 2) *(uint64_t*)(m + i * PAGE) = pattern(4, i);
  MUST(madvise(m + 10 * PAGE, 20 * PAGE, MADV_REMOVE));
  char* f = mmap(NULL, 16 * PAGE, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < 16; i++) f[i * PAGE] = (char)i;
  for (int i = 0; i < 16; i++)
    if (syscall(SYS_remap_file_pages, f + i * PAGE, PAGE, 0, 15 - i, 0) != 0) victim_setup_failed("remap", __LINE__);
  pid_t p = spawn(child, 0);
  char* dup = mremap(m + 150 * PAGE, 0, 4 * PAGE, MREMAP_MAYMOVE);
  if (dup == MAP_FAILED) victim_setup_failed("mremap", __LINE__);
  MUST(munmap(m + 200 * PAGE, 56 * PAGE));

  victim_wait();

  for (int i = 0; i < 200; i += 2) {
    uint64_t want = i >= 10 && i < 30 ? 0 : pattern(4, i);
    if (*(uint64_t*)(m + i * PAGE) != want) {
      victim_fail("page %d", i);
      break;
    }
  }
  for (int i = 0; i < 16; i++) CHECK_EQ(f[i * PAGE], 15 - i, "reversed");
  CHECK_EQ(*(uint64_t*)dup, pattern(4, 150), "dup");
  expect_exit(p, 0, "child");
  CHECK_EQ(*(uint64_t*)(m + 151 * PAGE), 99, "written by the child");
  CHECK_EQ(*(uint64_t*)(dup + PAGE), 99, "dup");
  return victim_end();
}
