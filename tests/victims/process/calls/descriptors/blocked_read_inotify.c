// read of an inotify descriptor.
#include "tests/victims/process/calls/blocked.h"

#include <sys/inotify.h>
static int fd;
static void set_up(void) {
  fd = MUST(inotify_init1(0));
  close(MUST(open(own_path("watched"), O_WRONLY | O_CREAT, 0644)));
  MUST(inotify_add_watch(fd, own_path("watched"), IN_ATTRIB));
}
static long call(void) {
  char text[512];
  return read(fd, text, sizeof text) >= (long)sizeof(struct inotify_event) ? (long)((struct inotify_event*)text)->mask
                                                                           : -1;
}
static void wake(void) {
  MUST(chmod(own_path("watched"), 0600));
}

int main(int argc, char** argv) {
  return blocked_main(argc, argv, &(struct blocked){.set_up = set_up, .call = call, .wake = wake, .want = IN_ATTRIB});
}
