// inotify: a watch on a file that is deleted but open keeps reporting events.
#include "tests/victims/victim.h"

#include <sys/inotify.h>

static char events[4096];

// Returns the masks of all events of one read together.
static uint32_t told(int fd, int watch) {
  uint32_t all = 0;
  ssize_t size = read(fd, events, sizeof events);
  for (ssize_t at = 0; at < size;) {
    struct inotify_event* event = (struct inotify_event*)(events + at);
    CHECK_EQ(event->wd, watch, "number of the watch");
    all |= event->mask;
    at += (ssize_t)(sizeof *event + event->len);
  }
  return all;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char path[4300];
  snprintf(path, sizeof path, "%s", own_path("watched"));
  int file = MUST(open(path, O_RDWR | O_CREAT, 0644));
  MUST(write(file, "content", 7));
  int fd = MUST(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  int watch = MUST(inotify_add_watch(fd, path, IN_ALL_EVENTS));
  MUST(unlink(path));
  CHECK_EQ(told(fd, watch), IN_ATTRIB, "what unlink tells");

  victim_wait();

  CHECK_EQ(told(fd, watch), 0, "events out of nothing");
  MUST(pwrite(file, "C", 1, 0));
  CHECK_EQ(told(fd, watch), IN_MODIFY, "what write tells");
  MUST(fchmod(file, 0600));
  CHECK_EQ(told(fd, watch), IN_ATTRIB, "what chmod tells");
  char text[8] = "";
  CHECK(pread(file, text, 7, 0) == 7 && strcmp(text, "Content") == 0, "content: %s", text);
  CHECK_EQ(told(fd, watch), IN_ACCESS, "what read tells");
  close(file);
  CHECK_EQ(told(fd, watch), IN_CLOSE_WRITE | IN_DELETE_SELF | IN_IGNORED, "what the end tells");
  return victim_end();
}
