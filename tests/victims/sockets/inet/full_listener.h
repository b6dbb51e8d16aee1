// A TCP listener whose queue is full, and a child that blocks in connect(2) to it.
#pragma once

#include "tests/victims/process/tree/tree.h"
#include "tests/victims/sockets/inet/inet.h"

static int server;  // listens; the connection of `first` is not accepted
static int first;
static int connecting;  // the child's socket
static struct sockaddr_storage here;
static socklen_t length;

static int connect_there(void* unused) {
  (void)unused;
  CHECK(connect(connecting, (struct sockaddr*)&here, length) == 0, "connect: %s", strerror(errno));
  return child_failures();
}

static bool is_asleep_connecting(pid_t pid) {
  char path[64], text[256];
  snprintf(path, sizeof path, "/proc/%d/syscall", (int)pid);
  read_file(path, text, sizeof text);
  return atoi(text) == SYS_connect;  // the file says "running" until the child sleeps
}

// Forks the child, which exits with 0 when it is connected. limit: its time limit (SO_SNDTIMEO), NULL for none.
static pid_t start_connecting(const struct timeval* limit) {
  server = MUST(socket(AF_INET, SOCK_STREAM, 0));
  length = loopback(AF_INET, 0, &here);
  MUST(bind(server, (struct sockaddr*)&here, length));
  MUST(getsockname(server, (struct sockaddr*)&here, &length));
  MUST(listen(server, 0));
  first = MUST(socket(AF_INET, SOCK_STREAM, 0));
  MUST(connect(first, (struct sockaddr*)&here, length));
  // The queue has no room for this connection until the first is accepted.
  connecting = MUST(socket(AF_INET, SOCK_STREAM, 0));
  if (limit != NULL) MUST(setsockopt(connecting, SOL_SOCKET, SO_SNDTIMEO, limit, sizeof *limit));
  pid_t child = spawn(connect_there, NULL);
  while (!is_asleep_connecting(child)) sched_yield();
  return child;
}
