// inotify: watch descriptors (with gaps), masks, flags, and events afterwards.
#include "tests/victims/victim.h"

#include <sys/inotify.h>

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char one[4300], two[4300];
  snprintf(one, sizeof one, "%s", own_path("one"));
  snprintf(two, sizeof two, "%s", own_path("two"));
  MUST(mkdir(one, 0755));
  MUST(mkdir(two, 0755));
  int fd = MUST(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  int gone = MUST(inotify_add_watch(fd, "/tmp", IN_DELETE_SELF));
  int first = MUST(inotify_add_watch(fd, one, IN_CREATE | IN_DELETE));
  int gone2 = MUST(inotify_add_watch(fd, "/", IN_DELETE_SELF));
  int second = MUST(inotify_add_watch(fd, two, IN_CREATE | IN_ONLYDIR));
  MUST(inotify_rm_watch(fd, gone));
  MUST(inotify_rm_watch(fd, gone2));
  char text[4096];
  while (read(fd, text, sizeof text) > 0) continue;

  victim_wait();

  CHECK(read(fd, text, sizeof text) == -1 && errno == EAGAIN, "events out of nothing");
  char path[4400];
  snprintf(path, sizeof path, "%s/new", two);
  close(MUST(open(path, O_WRONLY | O_CREAT, 0644)));
  struct inotify_event* event = (struct inotify_event*)text;
  CHECK(read(fd, text, sizeof text) > 0 && event->wd == second && event->mask == IN_CREATE &&
            strcmp(event->name, "new") == 0,
        "event of the second watch: wd %d mask %x", event->wd, event->mask);
  snprintf(path, sizeof path, "%s/new", one);
  close(MUST(open(path, O_WRONLY | O_CREAT, 0644)));
  CHECK(read(fd, text, sizeof text) > 0 && event->wd == first, "event of the first watch: wd %d", event->wd);
  CHECK(inotify_rm_watch(fd, first) == 0, "removing a watch: %s", strerror(errno));
  return victim_end();
}
