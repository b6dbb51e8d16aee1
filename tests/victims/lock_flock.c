// flock: exclusive and shared locks are held without a gap, and end when they should.
#include "victim.h"

#include <sys/file.h>

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char one[4300], two[4300];
  snprintf(one, sizeof one, "%s", own_path("exclusive"));
  snprintf(two, sizeof two, "%s", own_path("shared"));
  int exclusive = MUST(open(one, O_RDWR | O_CREAT, 0644)), shared = MUST(open(two, O_RDONLY | O_CREAT, 0644));
  MUST(flock(exclusive, LOCK_EX));
  MUST(flock(shared, LOCK_SH));
  int duplicate = MUST(dup(exclusive));
  victim_wait();
  int other = MUST(open(one, O_RDWR));
  CHECK(flock(other, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK, "the exclusive lock is lost");
  close(exclusive);
  CHECK(flock(other, LOCK_SH | LOCK_NB) == -1, "the lock went with one of two descriptors");
  close(duplicate);
  CHECK(flock(other, LOCK_EX | LOCK_NB) == 0, "the lock outlives its descriptors: somebody holds one");
  other = MUST(open(two, O_RDWR));
  CHECK(flock(other, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK, "the shared lock is lost");
  CHECK(flock(other, LOCK_SH | LOCK_NB) == 0, "the shared lock became exclusive");
  return victim_end();
}
