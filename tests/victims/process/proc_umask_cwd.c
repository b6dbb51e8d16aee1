// umask and the working directory.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char before[4200], now[4200];
  MUST(mkdir(own_path("dir"), 0755));
  MUST(chdir(own_path("dir")));
  MUST((long)getcwd(before, sizeof before) == 0 ? -1 : 0);
  umask(027);
  victim_wait();
  CHECK(getcwd(now, sizeof now) != NULL && strcmp(before, now) == 0, "working directory %s, not %s", now, before);
  int fd = MUST(open("new", O_WRONLY | O_CREAT, 0666));
  struct stat about;
  MUST(fstat(fd, &about));
  CHECK_EQ(about.st_mode & 0777, 0640, "mode of a new file");
  CHECK_EQ(umask(0), 027, "umask");
  CHECK(access(own_path("dir/new"), F_OK) == 0, "the new file is elsewhere");
  return victim_end();
}
