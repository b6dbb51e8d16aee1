// Unaccepted connections that already have data in them, of clients that are open, half closed, closed, or in another
// process.
#include "tests/victims/sockets/unix/unix.h"

#include "tests/victims/process/tree/tree.h"

enum { kShort = 0, kMany, kHalf, kGone, kGoneNamed, kQuiet, kGoneQuiet, kChild, kClients };

static char received[1000];

static void say(int fd, const char* text) {
  MUST(send(fd, text, strlen(text), 0));
}

static const char* server_name;
static int server_type;
static int speak_and_end(void* unused) {
  (void)unused;
  int fd = unix_client(server_type, server_name);
  say(fd, "from a child");
  return 0;
}

static void prepare(int type, const char* name, int* server, int* clients, pid_t* child) {
  *server = unix_server(type, name, 20);
  server_name = name, server_type = type;
  for (int i = 0; i < kChild; i++) {
    clients[i] = MUST(socket(AF_UNIX, type, 0));
    if (i == kGoneNamed) unix_bind(clients[i], unix_path(type == SOCK_STREAM ? "gone-stream" : "gone-packet"));
    MUST(unix_try_connect(clients[i], name));
  }
  say(clients[kShort], "short");
  for (int i = 0; i < 5; i++) {
    char text[300];
    memset(text, 'a' + i, sizeof text);
    MUST(send(clients[kMany], text, sizeof text, 0));
  }
  say(clients[kHalf], "half");
  MUST(shutdown(clients[kHalf], SHUT_WR));
  say(clients[kGone], "gone");
  say(clients[kGoneNamed], "gone, with a name");
  close(clients[kGone]);
  close(clients[kGoneNamed]);
  close(clients[kGoneQuiet]);
  *child = spawn(speak_and_end, NULL);
  MUST(waitpid(*child, NULL, 0));
}

static int accepted(int server, pid_t client) {
  int fd = accept(server, NULL, NULL);
  CHECK(fd >= 0, "accept: %s", strerror(errno));
  struct ucred who = {0};
  socklen_t size = sizeof who;
  MUST(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size));
  CHECK_EQ(who.pid, client, "SO_PEERCRED");
  return fd;
}

static void check_end(int fd, const char* what) {
  char byte;
  CHECK(recv(fd, &byte, 1, MSG_DONTWAIT) == 0, "%s: no end of file: %s", what, strerror(errno));
  close(fd);
}

static void check(int type, int server, const int* clients, pid_t child) {
  MUST(fcntl(server, F_SETFL, O_NONBLOCK));
  int fd = accepted(server, getpid());
  int on = 1, passed[16];
  MUST(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  struct ucred who = {0};
  receive_rights(fd, received, sizeof received, passed, &who);
  CHECK(strcmp(received, "short") == 0, "the first: \"%s\"", received);
  CHECK_EQ(who.pid, getpid(), "its sender");
  check_talk(clients[kShort], fd, "the first");
  close(fd);
  fd = accepted(server, getpid());
  for (int i = 0; i < 5; i++) {
    ssize_t bytes = recv(fd, received, type == SOCK_STREAM ? 300 : sizeof received, MSG_DONTWAIT);
    CHECK(bytes == 300 && received[0] == 'a' + i && received[299] == 'a' + i, "piece %d: %zd bytes", i, bytes);
  }
  check_empty(fd, "behind the pieces");
  close(fd);
  fd = accepted(server, getpid());
  check_receive(fd, "half", "half closed");
  CHECK(send(fd, "back", 4, MSG_NOSIGNAL) == 4, "to the half closed: %s", strerror(errno));
  check_receive(clients[kHalf], "back", "half closed");
  check_end(fd, "half closed");
  fd = accepted(server, getpid());
  check_receive(fd, "gone", "gone");
  CHECK(send(fd, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE, "to the gone: %s", strerror(errno));
  check_end(fd, "gone");
  fd = accepted(server, getpid());
  check_name(fd, true, unix_path(type == SOCK_STREAM ? "gone-stream" : "gone-packet"), "gone");
  check_receive(fd, "gone, with a name", "gone, with a name");
  check_end(fd, "gone, with a name");
  fd = accepted(server, getpid());
  check_empty(fd, "quiet");
  check_talk(clients[kQuiet], fd, "quiet");
  close(fd);
  check_end(accepted(server, getpid()), "gone without a word");
  fd = accepted(server, child);
  check_receive(fd, "from a child", "a child");
  check_end(fd, "a child");
  CHECK(accept(server, NULL, NULL) == -1 && errno == EAGAIN, "one more: %s", strerror(errno));
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int streams, packets, clients[2][kClients];
  pid_t children[2];
  const char* names[] = {unix_path("stream"), unix_path("packets")};
  prepare(SOCK_STREAM, names[0], &streams, clients[0], &children[0]);
  prepare(SOCK_SEQPACKET, names[1], &packets, clients[1], &children[1]);

  victim_wait();

  check(SOCK_STREAM, streams, clients[0], children[0]);
  check(SOCK_SEQPACKET, packets, clients[1], children[1]);
  MUST(unlink(names[0]));
  MUST(unlink(names[1]));
  unlink(unix_path("gone-stream"));
  unlink(unix_path("gone-packet"));
  return victim_end();
}
