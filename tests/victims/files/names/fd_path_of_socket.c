// O_PATH descriptors of files of unix sockets: one of a listening socket, which can be reached through it, and one
// whose socket is closed.
#include "tests/victims/sockets/unix/unix.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  const char *name = unix_path("listening"), *left = unix_path("left");
  // The number of the file's descriptor is lower than that of its socket.
  int first = MUST(dup(0)), server = unix_server(SOCK_STREAM, name, 3);
  int late = MUST(open(name, O_PATH | O_NOFOLLOW));
  MUST(dup2(late, first));
  close(unix_server(SOCK_STREAM, left, 3));
  int orphan = MUST(open(left, O_PATH));

  victim_wait();

  struct stat file, named;
  MUST(fstat(late, &file));
  MUST(stat(name, &named));
  CHECK(S_ISSOCK(file.st_mode), "mode %o", file.st_mode);
  CHECK(file.st_ino == named.st_ino && file.st_dev == named.st_dev, "it is not the file under the socket's name");
  CHECK(syscall(SYS_kcmp, getpid(), getpid(), 0, first, late) == 0, "two descriptions");
  char through[64];
  snprintf(through, sizeof through, "/proc/self/fd/%d", late);
  int client = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
  CHECK(unix_try_connect(client, through) == 0, "connecting through it: %s", strerror(errno));
  int accepted = accept(server, NULL, NULL);
  CHECK(accepted >= 0, "accept: %s", strerror(errno));
  check_talk(client, accepted, "the connection");
  MUST(fstat(orphan, &file));
  MUST(stat(left, &named));
  CHECK(S_ISSOCK(file.st_mode) && file.st_ino == named.st_ino, "the file that a socket left behind is another one");
  MUST(unlink(name));
  MUST(unlink(left));
  return victim_end();
}
