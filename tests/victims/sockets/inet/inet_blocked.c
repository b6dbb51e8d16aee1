// Threads in system calls on sockets during every move: accept, recv, recvfrom, send, with and without time limits, and
// an epoll set that watches sockets.
#include "tests/victims/sockets/inet/inet.h"

#include <sys/epoll.h>

enum { kCalls = 8 };

static struct tcp_pair plain, limited, full, watched;
static int listener, limited_listener, udp, udp_sender, set;
static char content[16 << 20];
static size_t stuffed;

static struct {
  _Atomic int tid, done;
  long result;
  int error;
} calls[kCalls];

static _Atomic int leave;

static long make_call(int which) {
  char got[16];
  struct epoll_event event;
  switch (which) {
    case 0:
      return accept(listener, NULL, NULL) >= 0 ? 1 : -1;
    case 1:
      return accept(limited_listener, NULL, NULL) >= 0 ? 1 : -1;
    case 2:
      return recv(plain.server, got, sizeof got, 0);
    case 3:
      return recv(limited.server, got, sizeof got, 0);
    case 4:
      return recvfrom(udp, got, sizeof got, 0, NULL, NULL);
    case 5:  // it may find room when the queue is packed anew
      return send(full.client, content, 100000, MSG_NOSIGNAL);
    case 6:
      return epoll_wait(set, &event, 1, -1) == 1 ? (long)event.data.u64 : -1;
    default:
      return recv(watched.client, got, 5, MSG_WAITALL);
  }
}

static void* body(void* which) {
  int i = (int)(intptr_t)which;
  calls[i].tid = (int)syscall(SYS_gettid);
  errno = 0;
  calls[i].result = make_call(i);
  calls[i].error = errno;
  calls[i].done = 1;
  wait_change(&leave, 0);
  return NULL;
}

static void wait_asleep(int i) {
  char path[64], text[256];
  wait_change(&calls[i].tid, 0);
  for (;;) {
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", calls[i].tid);
    read_file(path, text, sizeof text);
    char* end = strrchr(text, ')');
    if (end && end[2] == 'S') return;
    sched_yield();
  }
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  fill(content, sizeof content, 3);
  listener = listening(AF_INET, 0, 8), limited_listener = listening(AF_INET6, 0, 8);
  plain = connected(AF_INET, listener), limited = connected(AF_INET6, limited_listener);
  full = connected(AF_INET, listener), watched = connected(AF_INET, listener);
  udp = bound(AF_INET, SOCK_DGRAM, 0), udp_sender = bound(AF_INET, SOCK_DGRAM, 0);
  connect_to(udp_sender, AF_INET, port_of(udp));
  struct timeval limit = {600, 0};
  MUST(setsockopt(limited.server, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
  MUST(setsockopt(limited_listener, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
  for (;;) {
    ssize_t put = send(full.client, content, 65536, MSG_DONTWAIT);
    if (put <= 0) break;
    stuffed += (size_t)put;
  }
  set = MUST(epoll_create1(0));
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 4711};
  MUST(epoll_ctl(set, EPOLL_CTL_ADD, watched.server, &event));
  pthread_t threads[kCalls];
  for (int i = 0; i < kCalls; i++) threads[i] = start_thread(body, (void*)(intptr_t)i);
  for (int i = 0; i < kCalls; i++) wait_asleep(i);

  victim_wait();

  struct timespec settle = {0, 20000000};
  nanosleep(&settle, NULL);
  for (int i = 0; i < kCalls; i++)
    CHECK(!calls[i].done || i == 5, "call %d returned %ld (%s) before its event", i, calls[i].result,
          strerror(calls[i].error));
  int one = MUST(socket(AF_INET, SOCK_STREAM, 0)), two = MUST(socket(AF_INET6, SOCK_STREAM, 0));
  connect_to(one, AF_INET, port_of(listener));
  connect_to(two, AF_INET6, port_of(limited_listener));
  send_all(plain.client, "abc", 3);
  send_all(limited.client, "abcd", 4);
  MUST(send(udp_sender, "datagram", 8, 0));
  static char got[16 << 20];
  // A send that is stopped after it has queued a part of its bytes returns that part, as after SIGSTOP and SIGCONT.
  size_t arrived = receive(full.server, got, stuffed + 100000);
  send_all(watched.client, "x", 1);
  send_all(watched.server, "ab", 2);
  send_all(watched.server, "cde", 3);
  leave = 1;
  long want[kCalls] = {1, 1, 3, 4, 8, 100000, 4711, 5};
  for (int i = 0; i < kCalls; i++) {
    pthread_join(threads[i], NULL);
    if (i == 5 && calls[i].result > 0 && calls[i].result <= 100000) {
      CHECK_EQ(arrived, stuffed + (size_t)calls[i].result, "bytes of the full one");
      continue;
    }
    CHECK(calls[i].result == want[i], "call %d: %ld (%s), not %ld", i, calls[i].result, strerror(calls[i].error),
          want[i]);
  }
  return victim_end();
}
