// restless GO-FILE FOLDER: a tree that changes all the time until the go file exists. Processes are forked, make
// threads and end, by themselves or killed; all open and close descriptors of many kinds under the same few numbers.
#include "../../victims/process/tree/tree.h"

#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

static const char* folder;

static bool over(void) {
  return access(victim_go, F_OK) == 0;
}

static void nap_us(int us) {
  struct timespec nap = {0, us * 1000L};
  nanosleep(&nap, NULL);
}

static void open_something(unsigned what) {
  int pair[2];
  char name[256];
  switch (what % 8) {
    case 0:
      MUST(pipe(pair));
      close(pair[0]);
      close(pair[1]);
      break;
    case 1:
      close(open("/usr/bin/env", O_RDONLY | O_CLOEXEC));
      break;
    case 2:
      close(eventfd(3, EFD_CLOEXEC));
      break;
    case 3: {
      struct sockaddr_in any = {.sin_family = AF_INET};
      int fd = socket(AF_INET, SOCK_STREAM, 0);
      if (bind(fd, (struct sockaddr*)&any, sizeof any) == 0) listen(fd, 1);
      close(fd);
      break;
    }
    case 4:
      close(timerfd_create(CLOCK_MONOTONIC, 0));
      break;
    case 5:
      close(open("/dev/zero", O_RDWR));
      break;
    case 6: {
      snprintf(name, sizeof name, "%s/%d", folder, (int)gettid());
      int fd = open(name, O_RDWR | O_CREAT, 0600);
      if (write(fd, name, 9) != 9) victim_fail("write: %s", strerror(errno));
      close(fd);
      break;
    }
    default:
      close(socket(AF_UNIX, SOCK_DGRAM, 0));
      break;
  }
}

static void* open_things(void* argument) {
  (void)argument;
  for (unsigned i = 0; !over(); i++) {
    open_something(i);
    nap_us(50);
  }
  return NULL;
}

// A process that lives some milliseconds; some end by exit_group while they have other threads.
static int live(void* argument) {
  unsigned number = *(unsigned*)argument;
  for (unsigned i = 0; i < number % 3; i++) start_thread(open_things, NULL);
  for (unsigned i = 0; i < 10 + number % 60; i++) {
    open_something(number + i);
    nap_us(100);
  }
  return child_failures();
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  victim_loose_maps = victim_loose_status = true;
  folder = argv[2];
  pthread_t thread = start_thread(open_things, NULL);
  victim_say("ready\n");
  unsigned count = 0, alive = 0;
  while (!over() || alive > 0) {
    for (; !over() && alive < 6; alive++) {
      count++;
      pid_t pid = spawn(live, &count);
      if (count % 4 == 0) {
        nap_us(1000);
        kill(pid, SIGKILL);
      }
    }
    int status = 0;
    while (waitpid(-1, &status, over() ? 0 : WNOHANG) > 0) {
      alive--;
      CHECK(status == 0 || status == SIGKILL, "wait status 0x%x", status);
    }
    nap_us(300);
  }
  pthread_join(thread, NULL);
  return victim_end();
}
