// fanotify: marks on a directory, with an ignored file, on a mount and on a filesystem.
#include "tests/victims/victim.h"

#include <sys/fanotify.h>

static int events(int group) {
  char buffer[4096];
  ssize_t size = read(group, buffer, sizeof buffer);
  int count = 0;
  struct fanotify_event_metadata* event = (void*)buffer;
  for (; FAN_EVENT_OK(event, size); event = FAN_EVENT_NEXT(event, size)) {
    count++;
    if (event->fd >= 0) close(event->fd);
  }
  return count;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  static char folder[4300], file[4400], other[4400];
  snprintf(folder, sizeof folder, "%s", own_path("folder"));
  snprintf(file, sizeof file, "%s/file", folder);
  snprintf(other, sizeof other, "%s/other", folder);
  MUST(mkdir(folder, 0755));
  close(MUST(open(file, O_CREAT | O_WRONLY, 0644)));
  close(MUST(open(other, O_CREAT | O_WRONLY, 0644)));
  int opens = MUST(fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK | FAN_CLOEXEC, O_RDONLY));
  MUST(fanotify_mark(opens, FAN_MARK_ADD, FAN_OPEN | FAN_EVENT_ON_CHILD, AT_FDCWD, folder));
  MUST(fanotify_mark(opens, FAN_MARK_ADD | FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY, FAN_OPEN, AT_FDCWD,
                     other));
  int names = MUST(fanotify_init(FAN_REPORT_DFID_NAME | FAN_NONBLOCK, 0));
  MUST(fanotify_mark(names, FAN_MARK_ADD, FAN_CREATE | FAN_ONDIR, AT_FDCWD, folder));
  int empty = MUST(fanotify_init(FAN_CLASS_NOTIF, O_RDWR));

  victim_wait();

  close(MUST(open(other, O_RDONLY)));
  CHECK_EQ(events(opens), 0, "events of the ignored file");
  close(MUST(open(file, O_RDONLY)));
  CHECK_EQ(events(opens), 1, "events of opening");
  CHECK_EQ(events(names), 0, "events of making nothing");
  snprintf(other, sizeof other, "%s/new", folder);
  MUST(mkdir(other, 0755));
  CHECK_EQ(events(names), 1, "events of making a directory");
  CHECK_EQ(fcntl(empty, F_GETFL) & O_NONBLOCK, 0, "flags");
  return victim_end();
}
