// The login uid of the audit system, which threads inherit, and the nice value of the posix session's autogroup. Checks
// nothing where they cannot be set.
#include "tests/victims/victim.h"

static char* text_of(const char* path) {
  static char text[64];
  int fd = open(path, O_RDONLY);
  ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
  text[n < 0 ? 0 : n] = 0;
  close(fd);
  return text;
}

static bool put(const char* path, const char* text) {
  int fd = open(path, O_WRONLY);
  bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
  close(fd);
  return done;
}

static long login_uid(const char* path) {
  return atol(text_of(path));
}

static long in_thread;
static void* look(void* go) {
  while (!atomic_load((_Atomic int*)go)) usleep(1000);
  in_thread = login_uid("/proc/thread-self/loginuid");
  return NULL;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  static _Atomic int go;
  bool set = put("/proc/self/loginuid", "4711");
  bool nice_set = put("/proc/self/autogroup", "7");
  pthread_t thread = start_thread(look, &go);
  victim_wait();
  atomic_store(&go, 1);
  pthread_join(thread, NULL);
  if (set) {
    CHECK_EQ(login_uid("/proc/self/loginuid"), 4711, "login uid");
    CHECK_EQ(in_thread, 4711, "login uid of a thread");
  }
  if (nice_set)
    CHECK(strstr(text_of("/proc/self/autogroup"), " nice 7\n") != NULL, "the session's group: %s",
          text_of("/proc/self/autogroup"));
  return victim_end();
}
