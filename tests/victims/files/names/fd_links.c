// Descriptors of symbolic links themselves: open (O_PATH), dangling, and watched.
#include "tests/victims/victim.h"

#include <sys/inotify.h>

static const char* in_folder(const char* name) {
  static char paths[4][4300];
  static int next;
  char* path = paths[next++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", own_path("folder"), name);
  return path;
}

static void check_link(int fd, const char* name, const char* target) {
  struct stat here, there;
  char text[100] = "";
  CHECK(fstat(fd, &there) == 0 && lstat(in_folder(name), &here) == 0 && here.st_ino == there.st_ino,
        "%s: another file is open", name);
  CHECK(readlinkat(fd, "", text, sizeof text - 1) >= 0 && strcmp(text, target) == 0, "%s leads to %s", name, text);
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  MUST(mkdir(own_path("folder"), 0755));
  close(MUST(open(in_folder("file"), O_CREAT | O_WRONLY, 0644)));
  MUST(symlink("file", in_folder("link")));
  MUST(symlink("nothing", in_folder("dangling")));
  int link = MUST(open(in_folder("link"), O_PATH | O_NOFOLLOW));
  int dangling = MUST(open(in_folder("dangling"), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  int followed = MUST(open(in_folder("link"), O_PATH));
  int watch = MUST(inotify_init1(IN_NONBLOCK));
  int on_link = MUST(inotify_add_watch(watch, in_folder("link"), IN_DONT_FOLLOW | IN_ATTRIB));
  int on_file = MUST(inotify_add_watch(watch, in_folder("link"), IN_ATTRIB));

  victim_wait();

  check_link(link, "link", "file");
  check_link(dangling, "dangling", "nothing");
  struct stat file, behind;
  CHECK(fstat(followed, &behind) == 0 && stat(in_folder("file"), &file) == 0 && file.st_ino == behind.st_ino,
        "what the link led to");
  char text[4096];
  struct inotify_event* event = (struct inotify_event*)text;
  MUST(lchown(in_folder("link"), 5, 5));
  CHECK(read(watch, text, sizeof text) > 0 && event->wd == on_link, "a change of the link: watch %d", event->wd);
  MUST(chmod(in_folder("file"), 0600));
  CHECK(read(watch, text, sizeof text) > 0 && event->wd == on_file, "a change of the file: watch %d", event->wd);
  return victim_end();
}
