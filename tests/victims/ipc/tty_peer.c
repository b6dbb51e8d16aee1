// A slave that was opened close-on-exec through its master (TIOCGPTPEER): the kernel keeps the flag in the description,
// so that every descriptor seems to have it. victim_end() compares the flag of every descriptor.
#include "tests/victims/victim.h"

#include <sys/ioctl.h>

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int master = MUST(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  MUST(unlockpt(master));
  int peer = MUST(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  int kept = MUST(dup(peer));

  victim_wait();

  CHECK_EQ(MUST(fcntl(master, F_GETFD)), FD_CLOEXEC, "the master");
  CHECK_EQ(MUST(fcntl(peer, F_GETFD)), FD_CLOEXEC, "the peer");
  CHECK_EQ(MUST(fcntl(kept, F_GETFD)), 0, "its copy");
  return victim_end();
}
