// mprotect may do the same as before: a shared read-only mapping may become writable if its descriptor was open for
// writing, and may not if it was read-only; for files, deleted files, memfds and anonymous memory.
#include "tests/victims/victim.h"

enum { kKinds = 4 };
static const char* const kinds[kKinds] = {"file", "deleted file", "memfd", "sealed memfd"};

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char *writable[kKinds], *readable[kKinds];
  for (int i = 0; i < kKinds; i++) {
    int both =
        i < 2 ? open(own_path(kinds[i]), O_RDWR | O_CREAT | O_EXCL, 0644) : memfd_create(kinds[i], MFD_ALLOW_SEALING);
    MUST(both);
    MUST(ftruncate(both, PAGE));
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", both);
    int only = MUST(open(link, O_RDONLY));
    writable[i] = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, both, 0);
    readable[i] = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, only, 0);
    MUST((long)writable[i]);
    MUST((long)readable[i]);
    if (i == 1) MUST(unlink(own_path(kinds[i])));
    if (i == 3) MUST(fcntl(both, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
    close(both);
    close(only);
  }
  char* anonymous = mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MUST((long)anonymous);
  victim_loose_maps = true;  // a deleted file is shown under another name

  victim_wait();

  CHECK(mprotect(anonymous, PAGE, PROT_READ | PROT_WRITE) == 0, "anonymous memory cannot become writable");
  for (int i = 0; i < kKinds; i++) {
    CHECK(mprotect(readable[i], PAGE, PROT_READ | PROT_WRITE) == -1 && errno == EACCES,
          "%s that is only read may become writable", kinds[i]);
    CHECK(mprotect(writable[i], PAGE, PROT_READ | PROT_WRITE) == 0, "%s cannot become writable: %s", kinds[i],
          strerror(errno));
    writable[i][5] = 7;
    CHECK_EQ(readable[i][5], 7, kinds[i]);
  }
  return victim_end();
}
