// Pipes as far as CRIU's images support them: content, capacity, closed ends, duplicates.
#include "../../victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  static char content[1 << 17], got[1 << 17];
  fill(content, sizeof content, 4);
  int plain[2], large[2], closed[2], empty[2];
  MUST(pipe(plain));
  MUST(write(plain[1], content, 10001));
  MUST(read(plain[0], got, 77));
  MUST(pipe(large));
  MUST(fcntl(large[0], F_SETPIPE_SZ, 1 << 17));
  MUST(write(large[1], content, 100000));
  MUST(pipe(closed));
  MUST(write(closed[1], "last words", 10));
  close(closed[1]);
  MUST(pipe(empty));
  int duplicate = MUST(dup(empty[1]));
  MUST(fcntl(empty[0], F_SETFL, O_NONBLOCK));

  victim_wait();

  CHECK_EQ(fcntl(large[0], F_GETPIPE_SZ), 1 << 17, "capacity");
  CHECK(read(plain[0], got, sizeof got) == 9924 && memcmp(got, content + 77, 9924) == 0, "content");
  CHECK(read(large[0], got, sizeof got) == 100000 && memcmp(got, content, 100000) == 0, "content of the large");
  CHECK(read(closed[0], got, 100) == 10 && memcmp(got, "last words", 10) == 0, "content behind a closed end");
  CHECK_EQ(read(closed[0], got, 100), 0, "end of file");
  CHECK(read(empty[0], got, 1) == -1 && errno == EAGAIN, "the empty pipe: %s", strerror(errno));
  close(empty[1]);
  MUST(write(duplicate, "ok", 2));
  CHECK_EQ(read(empty[0], got, 10), 2, "through the duplicate");
  close(duplicate);
  CHECK_EQ(read(empty[0], got, 10), 0, "end of file of the empty pipe");
  return victim_end();
}
