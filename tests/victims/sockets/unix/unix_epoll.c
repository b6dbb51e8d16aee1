// epoll over sockets: level and edge, one-shot, hang-ups; threads that block in accept, recv and a send to a full
// queue.
#include "tests/victims/sockets/unix/unix.h"

#include <sys/epoll.h>

static int listening, blocked[2], full[2];
static _Atomic int accepted_one, received_one, sent_all;

static void* accepting(void* unused) {
  (void)unused;
  int fd = accept(listening, NULL, NULL);
  CHECK(fd >= 0, "accept: %s", strerror(errno));
  char text[10];
  CHECK_EQ(recv(fd, text, sizeof text, 0), 5, "bytes through accept");
  accepted_one = 1;
  return NULL;
}

static void* receiving(void* unused) {
  (void)unused;
  char text[10];
  ssize_t bytes = recv(blocked[1], text, sizeof text, 0);
  CHECK(bytes == 4, "recv: %zd %s", bytes, strerror(errno));
  received_one = 1;
  return NULL;
}

static void* sending(void* unused) {
  (void)unused;
  static char content[1 << 20];
  size_t sent = 0;
  while (sent < sizeof content) {
    ssize_t bytes = send(full[0], content + sent, sizeof content - sent, 0);
    if (bytes <= 0) {
      CHECK(false, "send: %zd %s", bytes, strerror(errno));
      break;
    }
    sent += (size_t)bytes;
  }
  CHECK_EQ(sent, sizeof content, "bytes sent");
  sent_all = 1;
  return NULL;
}

static uint32_t events_of(int epoll, uint64_t* data) {
  struct epoll_event event = {0};
  int count = epoll_wait(epoll, &event, 1, 0);
  *data = event.data.u64;
  return count == 1 ? event.events : 0;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  const char* name = unix_path("listening");
  listening = unix_server(SOCK_STREAM, name, 5);
  int level[2], edge[2], gone[2], once[2], sets[4];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, blocked));
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, full));
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, level));
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, edge));
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, gone));
  MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, once));
  for (int i = 0; i < 4; i++) sets[i] = MUST(epoll_create1(0));
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = 1};
  MUST(epoll_ctl(sets[0], EPOLL_CTL_ADD, level[1], &event));
  event = (struct epoll_event){.events = EPOLLIN | EPOLLET, .data.u64 = 2};
  MUST(epoll_ctl(sets[1], EPOLL_CTL_ADD, edge[1], &event));
  event = (struct epoll_event){.events = EPOLLIN | EPOLLRDHUP, .data.u64 = 3};
  MUST(epoll_ctl(sets[2], EPOLL_CTL_ADD, gone[1], &event));
  event = (struct epoll_event){.events = EPOLLIN | EPOLLONESHOT, .data.u64 = 4};
  MUST(epoll_ctl(sets[3], EPOLL_CTL_ADD, once[1], &event));
  MUST(send(level[0], "x", 1, 0));
  close(gone[0]);
  pthread_t threads[] = {start_thread(accepting, NULL), start_thread(receiving, NULL), start_thread(sending, NULL)};

  victim_wait();

  uint64_t data;
  CHECK(events_of(sets[0], &data) == EPOLLIN && data == 1, "level-triggered");
  CHECK_EQ(events_of(sets[1], &data), 0, "edge-triggered, nothing there");
  MUST(send(edge[0], "x", 1, 0));
  CHECK(events_of(sets[1], &data) == EPOLLIN && data == 2, "edge-triggered");
  CHECK_EQ(events_of(sets[1], &data), 0, "edge-triggered, again");
  CHECK(events_of(sets[2], &data) == (EPOLLIN | EPOLLRDHUP | EPOLLHUP) && data == 3, "hang-up");
  MUST(send(once[0], "x", 1, 0));
  CHECK(events_of(sets[3], &data) == EPOLLIN && data == 4, "one-shot");
  CHECK_EQ(events_of(sets[3], &data), 0, "one-shot, again");
  int client = unix_client(SOCK_STREAM, name);
  MUST(send(client, "hello", 5, 0));
  MUST(send(blocked[0], "data", 4, 0));
  static char drain[1 << 16];
  size_t have = 0;
  while (have < 1 << 20) {
    ssize_t bytes = recv(full[1], drain, sizeof drain, 0);
    if (bytes <= 0) break;
    have += (size_t)bytes;
  }
  CHECK_EQ(have, 1 << 20, "bytes received");
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  CHECK(accepted_one && received_one && sent_all, "threads: %d %d %d", accepted_one, received_one, sent_all);
  MUST(unlink(name));
  return victim_end();
}
