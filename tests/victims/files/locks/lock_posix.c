// POSIX record locks, read and write, on parts of a file: another process sees that this one holds them.
#include "tests/victims/victim.h"

static void query(int fd, off_t start, off_t length, int type, pid_t owner, const char* what) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
  MUST(fcntl(fd, F_GETLK, &lock));
  CHECK(lock.l_type == type, "%s: type %d, not %d", what, lock.l_type, type);
  if (type != F_UNLCK && lock.l_type != F_UNLCK) CHECK(lock.l_pid == owner, "%s: held by %d", what, lock.l_pid);
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int fd = MUST(open(own_path("database"), O_RDWR | O_CREAT, 0644));
  MUST(ftruncate(fd, 100000));
  struct flock write_lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 50};
  struct flock read_lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0x40000002, .l_len = 510};
  struct flock rest = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0x50000000, .l_len = 0};
  MUST(fcntl(fd, F_SETLK, &write_lock));
  MUST(fcntl(fd, F_SETLK, &read_lock));
  MUST(fcntl(fd, F_SETLK, &rest));
  victim_wait();
  pid_t child = fork();
  if (child == 0) {
    int other = MUST(open(own_path("database"), O_RDWR));
    query(other, 0, 100, F_UNLCK, 0, "before the write lock");
    query(other, 149, 1, F_WRLCK, getppid(), "end of the write lock");
    query(other, 150, 1000, F_UNLCK, 0, "behind the write lock");
    query(other, 0x40000002, 510, F_RDLCK, getppid(), "read lock");
    query(other, 0x60000000, 1, F_WRLCK, getppid(), "lock to the end");
    _exit(victim_failures != 0);
  }
  int status;
  waitpid(child, &status, 0);
  CHECK_EQ(status, 0, "status of the child that looks at the locks");
  struct flock none = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
  CHECK(fcntl(fd, F_SETLK, &none) == 0, "unlock: %s", strerror(errno));
  child = fork();
  if (child == 0) {
    query(MUST(open(own_path("database"), O_RDWR)), 0, 0, F_UNLCK, 0, "after the unlock");
    _exit(victim_failures != 0);
  }
  waitpid(child, &status, 0);
  CHECK_EQ(status, 0, "status of the second child");
  return victim_end();
}
