// Between a parent and its children: pairs, connections, peers, credentials of queued messages, descriptors in flight
// from one to the other.
#include "tests/victims/sockets/unix/unix.h"

enum { kChildren = 3 };

static const char* name;
static int pairs[kChildren][2], datagram, log_pair[2];

static void send_as_myself(int fd, const char* text) {
  char control[CMSG_SPACE(sizeof(struct ucred))] = {0};
  struct ucred who = {getpid(), getuid(), getgid()};
  struct iovec part = {(void*)(uintptr_t)text, strlen(text)};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_CREDENTIALS;
  header->cmsg_len = CMSG_LEN(sizeof who);
  memcpy(CMSG_DATA(header), &who, sizeof who);
  MUST(sendmsg(fd, &message, 0));
}

static void expect(int fd, const char* want) {
  char got[100];
  ssize_t bytes = recv(fd, got, sizeof got, 0);
  if (bytes != (ssize_t)strlen(want) || memcmp(got, want, (size_t)bytes) != 0) _exit(10);
}

// A child: it answers over its pair, and over a connection of its own.
static void child(int index) {
  int mine = pairs[index][1];
  for (int i = 0; i < kChildren; i++) {
    close(pairs[i][0]);
    if (i != index) close(pairs[i][1]);
  }
  int connection = unix_client(SOCK_STREAM, name);
  send_as_myself(log_pair[1], "logged");
  int file = open("/dev/zero", O_RDONLY);
  send_rights(connection, "a file", &file, 1);
  close(file);
  MUST(send(mine, "set up", 6, 0));
  while (true) {
    char order[20];
    ssize_t bytes = recv(mine, order, sizeof order, 0);
    if (bytes <= 0) _exit(bytes == 0 ? 0 : 11);
    if (order[0] == 'e') MUST(send(mine, order, (size_t)bytes, 0));
    if (order[0] == 'c') MUST(send(connection, "connected", 9, 0));
    if (order[0] == 'r') expect(connection, "request");
    if (order[0] == 'd') MUST(send(datagram, "datagram", 8, 0));
  }
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int one = 1, accepted[kChildren];
  pid_t children[kChildren];
  name = unix_path("tree");
  const char* datagrams = unix_path("datagrams");
  int listening = unix_server(SOCK_STREAM, name, 5);
  int receiver = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
  unix_bind(receiver, datagrams);
  datagram = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
  MUST(unix_try_connect(datagram, datagrams));
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, log_pair));
  MUST(setsockopt(log_pair[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof one));
  for (int i = 0; i < kChildren; i++) MUST(socketpair(AF_UNIX, i == 1 ? SOCK_SEQPACKET : SOCK_STREAM, 0, pairs[i]));
  for (int i = 0; i < kChildren; i++) {
    children[i] = MUST(fork());
    if (children[i] == 0) child(i);
    accepted[i] = MUST(accept(listening, NULL, NULL));
    expect(pairs[i][0], "set up");
  }
  for (int i = 0; i < kChildren; i++) {
    close(pairs[i][1]);
    MUST(send(pairs[i][0], "e1", 2, 0));
    expect(pairs[i][0], "e1");
  }

  victim_wait();

  for (int i = 0; i < kChildren; i++) {
    struct ucred who = {0};
    socklen_t size = sizeof who;
    MUST(getsockopt(accepted[i], SOL_SOCKET, SO_PEERCRED, &who, &size));
    CHECK_EQ(who.pid, children[i], "SO_PEERCRED of a child's connection");
    MUST(getsockopt(pairs[i][0], SOL_SOCKET, SO_PEERCRED, &who, &size));
    CHECK_EQ(who.pid, getpid(), "SO_PEERCRED of a pair");
    char text[20];
    int passed[16];
    CHECK(receive_rights(log_pair[0], text, sizeof text, passed, &who) == 0 && strcmp(text, "logged") == 0, "log: %s",
          strerror(errno));
    CHECK_EQ(who.pid, children[i], "who logged");
    CHECK_EQ(receive_rights(accepted[i], text, sizeof text, passed, NULL), 1, "a descriptor of a child");
    CHECK(read(passed[0], text, 4) == 4, "reading it: %s", strerror(errno));
    MUST(send(pairs[i][0], "e2", 2, MSG_NOSIGNAL));
    expect(pairs[i][0], "e2");
    MUST(send(pairs[i][0], "c", 1, MSG_NOSIGNAL));
    expect(accepted[i], "connected");
    MUST(send(accepted[i], "request", 7, MSG_NOSIGNAL));
    MUST(send(pairs[i][0], "r", 1, MSG_NOSIGNAL));
    if (i == 1) {
      MUST(send(pairs[i][0], "d", 1, MSG_NOSIGNAL));
      expect(receiver, "datagram");
    }
    close(pairs[i][0]);
    int status = 0;
    MUST(waitpid(children[i], &status, 0));
    CHECK_EQ(status, 0, "how a child ended");
    CHECK_EQ(recv(accepted[i], text, 1, 0), 0, "end of file after a child's end");
  }
  MUST(unlink(name));
  MUST(unlink(datagrams));
  return victim_end();
}
