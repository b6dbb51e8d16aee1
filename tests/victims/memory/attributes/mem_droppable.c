// Memory that the kernel may drop (MAP_DROPPABLE, Linux 6.11): it keeps this property, also in a child.
#include "tests/victims/process/tree/tree.h"

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

enum { kPages = 8 };
static char* memory;

static bool is_droppable(void) {
  static char text[1 << 16];
  char start[32];
  snprintf(start, sizeof start, "\n%lx-", (unsigned long)(uintptr_t)memory);
  read_file("/proc/self/smaps", text, sizeof text);
  char* at = strstr(text, start);
  char* flags = at == NULL ? NULL : strstr(at, "VmFlags:");
  char* end = flags == NULL ? NULL : strchr(flags, '\n');
  if (end == NULL) return false;
  *end = 0;
  return strstr(flags, " dp") != NULL && strstr(flags, " wf") != NULL;
}

// Each page has its content, or is zero.
static void check_content(char wanted, const char* who) {
  for (int i = 0; i < kPages; i++) {
    char got = memory[PAGE * (size_t)i];
    CHECK(got == wanted || got == 0, "%s: page %d holds %d", who, i, got);
  }
}

static int child(void* unused) {
  (void)unused;
  check_content(0, "the child");  // it inherits no content
  memset(memory, 'c', kPages * PAGE);
  child_wait();
  CHECK(is_droppable(), "it is no droppable memory any more in the child");
  check_content('c', "the child afterwards");
  return child_failures();
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  memory = mmap(NULL, kPages * PAGE, PROT_READ | PROT_WRITE, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED && errno == EINVAL) memory = NULL;  // an older kernel
  if (memory != NULL) {
    memset(memory, 'p', kPages * PAGE);
    CHECK(is_droppable(), "it is no droppable memory");
  }
  pid_t pid = memory == NULL ? 0 : spawn(child, NULL);

  victim_wait();

  if (memory == NULL) return victim_end();
  CHECK(is_droppable(), "it is no droppable memory any more");
  check_content('p', "the parent");
  memset(memory, 'q', kPages * PAGE);
  check_content('q', "the parent");
  expect_exit(pid, 0, "the child");
  return victim_end();
}
