// A changed root directory (chroot), with the working directory inside it.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char folder[4200], *slash;
  snprintf(folder, sizeof folder, "%s", victim_go);
  slash = strrchr(folder, '/');
  if (slash == NULL) MUST(-1);
  *slash = 0;
  mkdir(own_path("inside"), 0755);
  struct stat root, now;
  MUST(stat(folder, &root));
  MUST(chroot(folder));
  snprintf(victim_go, sizeof victim_go, "/%s", slash + 1);
  MUST(chdir(own_path("inside")));
  int directory = MUST(open("/", O_RDONLY | O_DIRECTORY));
  victim_loose_status = true;  // no /proc in there
  victim_wait();
  MUST(stat("/", &now));
  CHECK(root.st_ino == now.st_ino && root.st_dev == now.st_dev, "another root");
  char cwd[4200];
  CHECK(getcwd(cwd, sizeof cwd) && strcmp(cwd, own_path("inside")) == 0, "working directory %s", cwd);
  MUST(fstat(directory, &now));
  CHECK(root.st_ino == now.st_ino, "the open root directory is another");
  return victim_end();
}
