// A program that is started by descriptor and whose file is deleted while it runs.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  if (argc == 2) {
    char to[4300];
    snprintf(to, sizeof to, "%s.exe", argv[1]);
    int in = MUST(open("/proc/self/exe", O_RDONLY)), out = MUST(open(to, O_WRONLY | O_CREAT, 0700));
    char b[65536];
    ssize_t n;
    while ((n = read(in, b, sizeof b)) > 0) MUST(write(out, b, n));
    close(in);
    close(out);
    int fd = MUST(open(to, O_RDONLY | O_CLOEXEC));
    MUST(unlink(to));
    char* av[] = {"exe", argv[1], "again", 0};
    fexecve(fd, av, environ);
    victim_setup_failed("fexecve", __LINE__);
  }
  victim_start(argc, argv);
  char l[4400] = "";
  MUST(readlink("/proc/self/exe", l, sizeof l - 1));
  pid_t c = fork();
  if (c == 0) {
    while (access(victim_go, F_OK)) {
      struct timespec t = {0, 5000000};
      nanosleep(&t, 0);
    }
    _exit(0);
  }
  victim_loose_maps = true;

  victim_wait();

  char m[4400] = "";
  MUST(readlink("/proc/self/exe", m, sizeof m - 1));
  CHECK(strstr(m, "(deleted)") != NULL, "exe is %s, was %s", m, l);
  char n[16];
  prctl(PR_GET_NAME, n);
  int s;
  waitpid(c, &s, 0);
  CHECK_EQ(s, 0, "child");
  int fd = open("/proc/self/exe", O_RDONLY);
  char e[4] = "";
  CHECK(fd >= 0 && read(fd, e, 4) == 4 && !memcmp(e, "\177ELF", 4), "exe cannot be read");
  return victim_end();
}
