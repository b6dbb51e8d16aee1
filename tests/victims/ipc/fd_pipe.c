// Pipes with both ends in the tree: content, capacity, packets, flags of each end, closed ends, duplicates.
#include "tests/victims/victim.h"

static size_t drain(int fd, char* to, size_t room) {
  size_t have = 0;
  ssize_t got;
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  while (have < room && (got = read(fd, to + have, room - have)) > 0) have += (size_t)got;
  return have;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  static char content[1 << 20], got[1 << 20];
  fill(content, sizeof content, 4);
  int plain[2], full[2], small[2], large[2], packets[2], closed[2], broken[2], empty[2];
  MUST(pipe(plain));
  MUST(write(plain[1], content, 10001));
  MUST(read(plain[0], got, 77));
  MUST(pipe2(full, O_NONBLOCK | O_CLOEXEC));
  while (write(full[1], content, 4096) > 0) continue;
  MUST(pipe(small));
  MUST(fcntl(small[0], F_SETPIPE_SZ, 4096));
  MUST(write(small[1], content, 100));
  MUST(pipe(large));
  MUST(fcntl(large[0], F_SETPIPE_SZ, 1 << 18));
  MUST(write(large[1], content, 200000));
  MUST(pipe2(packets, O_DIRECT));
  for (int i = 1; i <= 5; i++) MUST(write(packets[1], content, (size_t)i * 10));
  MUST(pipe(closed));
  MUST(write(closed[1], "last words", 10));
  close(closed[1]);
  MUST(pipe(broken));
  close(broken[0]);
  MUST(pipe(empty));
  int duplicate = MUST(dup(empty[1]));
  MUST(fcntl(empty[0], F_SETFL, O_NONBLOCK));
  int capacities[] = {fcntl(plain[0], F_GETPIPE_SZ), fcntl(small[0], F_GETPIPE_SZ), fcntl(large[0], F_GETPIPE_SZ)};

  victim_wait();

  CHECK_EQ(fcntl(plain[0], F_GETPIPE_SZ), capacities[0], "capacity");
  CHECK_EQ(fcntl(small[0], F_GETPIPE_SZ), capacities[1], "capacity of the small");
  CHECK_EQ(fcntl(large[0], F_GETPIPE_SZ), capacities[2], "capacity of the large");
  CHECK(drain(plain[0], got, sizeof got) == 9924 && memcmp(got, content + 77, 9924) == 0, "content");
  CHECK(write(full[1], "x", 1) == -1 && errno == EAGAIN, "the full pipe has room");
  CHECK_EQ(drain(full[0], got, sizeof got), 65536, "content of the full");
  CHECK(drain(small[0], got, sizeof got) == 100 && memcmp(got, content, 100) == 0, "content of the small");
  CHECK(drain(large[0], got, sizeof got) == 200000 && memcmp(got, content, 200000) == 0, "content of the large");
  for (int i = 1; i <= 5; i++) CHECK_EQ(read(packets[0], got, sizeof got), i * 10, "a packet");
  CHECK_EQ(write(packets[1], content, 30), 30, "write of a packet");
  CHECK_EQ(write(packets[1], content, 40), 40, "write of a packet");
  CHECK_EQ(read(packets[0], got, sizeof got), 30, "packets were joined: read");
  CHECK(read(closed[0], got, 100) == 10 && memcmp(got, "last words", 10) == 0, "content behind a closed end");
  CHECK_EQ(read(closed[0], got, 100), 0, "end of file");
  signal(SIGPIPE, SIG_IGN);
  CHECK(write(broken[1], "x", 1) == -1 && errno == EPIPE, "a broken pipe");
  CHECK(read(empty[0], got, 1) == -1 && errno == EAGAIN, "the empty pipe: %s", strerror(errno));
  close(empty[1]);
  CHECK(read(empty[0], got, 1) == -1 && errno == EAGAIN, "the duplicate of the writing end is lost");
  MUST(write(duplicate, "ok", 2));
  CHECK_EQ(read(empty[0], got, 10), 2, "through the duplicate");
  close(duplicate);
  CHECK_EQ(read(empty[0], got, 10), 0, "all writing ends are closed, yet no end of file: somebody holds one");
  return victim_end();
}
