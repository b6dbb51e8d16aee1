// Children that wait in epoll_wait for a signalfd and a socket: signals that were queued before the move, and later
// ones.
#include "tests/victims/victim.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

enum { kChildren = 3 };
static int pairs[kChildren][2];

// Answers every signal with a byte.
static void child(int index) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGURG);
  sigprocmask(SIG_BLOCK, &set, NULL);
  int signals = MUST(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)), mine = pairs[index][1];
  int epoll = MUST(epoll_create1(EPOLL_CLOEXEC));
  struct epoll_event event = {.events = EPOLLIN | EPOLLERR | EPOLLHUP, .data.fd = signals};
  MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, signals, &event));
  event.data.fd = mine;
  MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, mine, &event));
  MUST(send(mine, "r", 1, 0));
  while (true) {
    int count = epoll_wait(epoll, &event, 1, -1);
    if (count < 0 && errno == EINTR) continue;
    if (count != 1) _exit(20);
    if (event.data.fd == mine) {
      char byte;
      if (recv(mine, &byte, 1, 0) <= 0) _exit(0);
      continue;
    }
    struct signalfd_siginfo info;
    while (read(signals, &info, sizeof info) == sizeof info) MUST(send(mine, "s", 1, MSG_NOSIGNAL));
  }
}

static bool answers(int fd) {
  struct timeval limit = {5, 0};
  MUST(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
  char byte = 0;
  return recv(fd, &byte, 1, 0) == 1;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  pid_t children[kChildren];
  for (int i = 0; i < kChildren; i++) {
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]));
    children[i] = MUST(fork());
    if (children[i] == 0) child(i);
    if (!answers(pairs[i][0])) victim_setup_failed("a child", __LINE__);
  }

  victim_wait();

  for (int round = 0; round < 5; round++)
    for (int i = 0; i < kChildren; i++) {
      MUST(kill(children[i], SIGURG));
      CHECK(answers(pairs[i][0]), "child %d was not woken by signal %d", i, round);
    }
  for (int i = 0; i < kChildren; i++) {
    MUST(kill(children[i], SIGKILL));
    MUST(waitpid(children[i], NULL, 0));
  }
  return victim_end();
}
