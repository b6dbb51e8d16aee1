// A file of O_TMPFILE that gets its name after the move.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char dir[4200];
  snprintf(dir, sizeof dir, "%s", victim_go);
  *strrchr(dir, '/') = 0;
  int fd = MUST(open(dir, O_TMPFILE | O_RDWR, 0640));
  MUST(write(fd, "content", 7));
  int excl = MUST(open(dir, O_TMPFILE | O_RDWR | O_EXCL, 0600));
  MUST(write(excl, "never", 5));

  victim_wait();

  char self[64];
  snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
  const char* to = own_path("linked");
  CHECK(linkat(AT_FDCWD, self, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0, "linkat: %s", strerror(errno));
  char text[32];
  read_file(to, text, sizeof text);
  CHECK(strcmp(text, "content") == 0, "its content: %s", text);
  struct stat s;
  if (stat(to, &s) == 0) CHECK_EQ(s.st_mode & 07777, 0640, "mode");
  unlink(to);
  snprintf(self, sizeof self, "/proc/self/fd/%d", excl);

  return victim_end();
}
