// Helpers for victims with unix sockets.
#pragma once
#include "tests/victims/victim.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

// name: a path, or "@name" for an abstract one. Returns the length of the address.
UNUSED static socklen_t unix_address(struct sockaddr_un* address, const char* name) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  size_t length = strlen(name);
  if (length >= sizeof address->sun_path) victim_setup_failed("a name that is too long", __LINE__);
  memcpy(address->sun_path, name, length);
  if (name[0] != '@') return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
  address->sun_path[0] = 0;
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

// Returns a name of this victim's own that fits, since the go file's path is long. It stays valid.
UNUSED static const char* unix_path(const char* suffix) {
  static char path[16][100];
  static int next;
  static long long tag;
  if (tag == 0) tag = clock_ns(CLOCK_REALTIME);
  char* mine = path[next++ & 15];
  snprintf(mine, 100, "/tmp/unix-victim-%llx-%s", tag, suffix);
  return mine;
}

UNUSED static void unix_bind(int fd, const char* name) {
  struct sockaddr_un address;
  socklen_t length = unix_address(&address, name);
  MUST(bind(fd, (struct sockaddr*)&address, length));
}

UNUSED static int unix_try_connect(int fd, const char* name) {
  struct sockaddr_un address;
  socklen_t length = unix_address(&address, name);
  return connect(fd, (struct sockaddr*)&address, length);
}

UNUSED static int unix_server(int type, const char* name, int backlog) {
  int fd = MUST(socket(AF_UNIX, type, 0));
  unix_bind(fd, name);
  MUST(listen(fd, backlog));
  return fd;
}

UNUSED static int unix_client(int type, const char* name) {
  int fd = MUST(socket(AF_UNIX, type, 0));
  MUST(unix_try_connect(fd, name));
  return fd;
}

// Returns the name of a socket (peer: of its other end) as text, "" for none.
UNUSED static const char* unix_name(int fd, bool peer) {
  static char text[4][120];
  static int next;
  char* mine = text[next++ & 3];
  struct sockaddr_un address;
  socklen_t length = sizeof address;
  memset(&address, 0, sizeof address);
  mine[0] = 0;
  int failed = peer ? getpeername(fd, (struct sockaddr*)&address, &length)
                    : getsockname(fd, (struct sockaddr*)&address, &length);
  if (failed) {
    snprintf(mine, 120, "errno %d", errno);
  } else if (length > offsetof(struct sockaddr_un, sun_path)) {
    size_t bytes = length - offsetof(struct sockaddr_un, sun_path);
    memcpy(mine, address.sun_path, bytes);
    mine[bytes] = 0;
    if (mine[0] == 0) mine[0] = '@';
  }
  return mine;
}

UNUSED static void check_name(int fd, bool peer, const char* want, const char* what) {
  const char* name = unix_name(fd, peer);
  CHECK(strcmp(name, want) == 0, "%s: the name is \"%s\", not \"%s\"", what, name, want);
}

UNUSED static void check_receive(int fd, const char* want, const char* what) {
  char got[4096];
  ssize_t bytes = recv(fd, got, sizeof got, MSG_DONTWAIT);
  if (bytes < 0) {
    victim_fail("%s: %s", what, strerror(errno));
  } else if ((size_t)bytes != strlen(want) || memcmp(got, want, (size_t)bytes) != 0) {
    victim_fail("%s: \"%.*s\", not \"%s\"", what, (int)bytes, got, want);
  }
}

UNUSED static void check_empty(int fd, const char* what) {
  char got[64];
  ssize_t bytes = recv(fd, got, sizeof got, MSG_DONTWAIT);
  CHECK(bytes == -1 && errno == EAGAIN, "%s: %zd (%s), not empty", what, bytes, strerror(errno));
}

// Checks that each end receives what the other sends.
UNUSED static void check_talk(int a, int b, const char* what) {
  CHECK(send(a, "to b", 4, MSG_NOSIGNAL) == 4, "%s: send: %s", what, strerror(errno));
  check_receive(b, "to b", what);
  CHECK(send(b, "to a", 4, MSG_NOSIGNAL) == 4, "%s: send back: %s", what, strerror(errno));
  check_receive(a, "to a", what);
}

// Sends a text with descriptors.
UNUSED static void send_rights(int fd, const char* text, const int* passed, int count) {
  char control[CMSG_SPACE(16 * sizeof(int))] = {0};
  struct iovec part = {(void*)(uintptr_t)text, strlen(text)};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control};
  message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
  memcpy(CMSG_DATA(header), passed, (size_t)count * sizeof(int));
  MUST(sendmsg(fd, &message, 0));
}

// Receives a text, up to 16 descriptors (their count is returned, -1 on failure) and credentials.
UNUSED static int receive_rights(int fd, char* text, size_t room, int* passed, struct ucred* who) {
  char control[1024];
  struct iovec part = {text, room - 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t bytes = recvmsg(fd, &message, MSG_DONTWAIT);
  text[bytes < 0 ? 0 : bytes] = 0;
  if (bytes < 0) return -1;
  int count = 0;
  if (who != NULL) who->pid = -1;
  for (struct cmsghdr* c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_type == SCM_RIGHTS) {
      count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
      memcpy(passed, CMSG_DATA(c), (size_t)count * sizeof(int));
    } else if (c->cmsg_type == SCM_CREDENTIALS && who != NULL) {
      memcpy(who, CMSG_DATA(c), sizeof *who);
    }
  }
  return count;
}

// give() sends a descriptor that is then open nowhere else; the other function receives one.
UNUSED static void give(int fd, const char* what, int given) {
  send_rights(fd, what, &given, 1);
  close(given);
}
UNUSED static int take(int fd, const char* what) {
  char text[300];
  int passed[16];
  int count = receive_rights(fd, text, sizeof text, passed, NULL);
  CHECK(count == 1 && strcmp(text, what) == 0, "%s: %d descriptors, \"%s\" (%s)", what, count, text, strerror(errno));
  return count >= 1 ? passed[0] : -1;
}
