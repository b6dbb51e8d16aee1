// inotify and fanotify: the program sees no events from the end of the original and the restoring of the copy.
#include "tests/victims/victim.h"

#include <poll.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>

#define EVENTS (IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MODIFY)

static int waits(int fd) {
  struct pollfd entry = {fd, POLLIN, 0};
  return poll(&entry, 1, 0);
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  static char folder[4300], kept[4400], gone[4400], text[4096];
  snprintf(folder, sizeof folder, "%s", own_path("folder"));
  snprintf(kept, sizeof kept, "%s/kept", folder);
  snprintf(gone, sizeof gone, "%s/gone", folder);
  MUST(mkdir(folder, 0755));
  int file = MUST(open(kept, O_CREAT | O_RDWR, 0644)), deleted = MUST(open(gone, O_CREAT | O_RDWR, 0644));
  MUST(write(file, "abc", 3));
  void* map = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, file, 0);
  if (map == MAP_FAILED) victim_setup_failed("mmap", __LINE__);
  int fd = MUST(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  MUST(inotify_add_watch(fd, folder, EVENTS));
  MUST(inotify_add_watch(fd, gone, EVENTS));
  int marks = MUST(fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK | FAN_CLOEXEC, O_RDONLY));
  MUST(unlink(gone));
  MUST(fanotify_mark(marks, FAN_MARK_ADD, FAN_CLOSE_WRITE | FAN_MODIFY | FAN_EVENT_ON_CHILD, AT_FDCWD, folder));
  while (read(fd, text, sizeof text) > 0) continue;

  victim_wait();

  CHECK_EQ(waits(fd), 0, "inotify has events of the move");
  CHECK_EQ(waits(marks), 0, "fanotify has events of the move");
  close(deleted);
  struct inotify_event* event = (struct inotify_event*)text;
  CHECK(read(fd, text, sizeof text) > 0 && (event->mask & IN_CLOSE_WRITE) != 0,
        "closing the deleted file says nothing");
  close(file);
  CHECK_EQ(waits(marks), 1, "events of the program's own");
  return victim_end();
}
