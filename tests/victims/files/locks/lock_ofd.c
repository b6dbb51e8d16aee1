// Open-file-description locks.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int fd = MUST(open(own_path("file"), O_RDWR | O_CREAT, 0644));
  struct flock one = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 20};
  struct flock two = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 1000, .l_len = 0};
  MUST(fcntl(fd, F_OFD_SETLK, &one));
  MUST(fcntl(fd, F_OFD_SETLK, &two));
  int duplicate = MUST(dup(fd));
  victim_wait();
  int other = MUST(open(own_path("file"), O_RDWR));
  struct flock query = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
  MUST(fcntl(other, F_OFD_GETLK, &query));
  CHECK(query.l_type == F_WRLCK && query.l_start == 10 && query.l_len == 20, "first lock: type %d at %ld + %ld",
        query.l_type, (long)query.l_start, (long)query.l_len);
  query = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5000, .l_len = 1};
  MUST(fcntl(other, F_OFD_GETLK, &query));
  CHECK(query.l_type == F_RDLCK && query.l_pid == -1, "second lock: type %d of %d", query.l_type, query.l_pid);
  close(fd);
  one.l_type = F_WRLCK;
  CHECK(fcntl(other, F_OFD_SETLK, &one) == -1, "the lock went with one of two descriptors");
  close(duplicate);
  CHECK(fcntl(other, F_OFD_SETLK, &one) == 0, "the lock outlives its descriptors");
  return victim_end();
}
