// Datagram sockets: queued datagrams with their senders, connections of many to one, to each other, to a closed one.
#include "tests/victims/sockets/unix/unix.h"

static void send_to(int fd, const char* name, const char* text) {
  struct sockaddr_un address;
  socklen_t length = unix_address(&address, name);
  MUST(sendto(fd, text, strlen(text), 0, (struct sockaddr*)&address, length));
}

static void check_from(int fd, const char* want, const char* source) {
  char got[300], name[120] = "";
  struct sockaddr_un address;
  socklen_t length = sizeof address;
  memset(&address, 0, sizeof address);
  ssize_t bytes = recvfrom(fd, got, sizeof got, MSG_DONTWAIT, (struct sockaddr*)&address, &length);
  if (bytes < 0) {
    victim_fail("\"%s\": %s", want, strerror(errno));
    return;
  }
  if (length > offsetof(struct sockaddr_un, sun_path)) {
    memcpy(name, address.sun_path, length - offsetof(struct sockaddr_un, sun_path));
    if (name[0] == 0) name[0] = '@';
  }
  CHECK((size_t)bytes == strlen(want) && memcmp(got, want, (size_t)bytes) == 0, "\"%.*s\", not \"%s\"", (int)bytes, got,
        want);
  CHECK(strcmp(name, source) == 0, "\"%s\" comes from \"%s\", not \"%s\"", want, name, source);
}

static int bound(const char* name) {
  int fd = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
  unix_bind(fd, name);
  return fd;
}

static int unread(int fd) {
  int bytes = -1;
  MUST(ioctl(fd, SIOCOUTQ, &bytes));
  return bytes;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char abstract[40], gone_abstract[40], auto_name[120];
  snprintf(abstract, sizeof abstract, "@crxtest-%d-server", getpid());
  snprintf(gone_abstract, sizeof gone_abstract, "@crxtest-%d-gone", getpid());
  const char *path = unix_path("server"), *client_path = unix_path("client"), *gone_path = unix_path("gone");
  const char *left_path = unix_path("left"), *right_path = unix_path("right"), *chain_path = unix_path("chain");

  // Many senders of all kinds.
  int server = bound(path), other = bound(abstract), named = bound(client_path);
  int connected = MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), idle = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
  MUST(unix_try_connect(connected, path));
  MUST(unix_try_connect(idle, path));
  send_to(named, path, "from the named");
  MUST(send(connected, "from the connected", 18, 0));
  int passing = bound(gone_path), passing_abstract = bound(gone_abstract),
      nameless = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
  send_to(passing, path, "from one that is gone");
  send_to(passing_abstract, path, "from another that is gone");
  send_to(nameless, path, "from nobody");
  send_to(other, path, "from the other");
  send_to(server, path, "from itself");
  close(passing);
  close(passing_abstract);
  close(nameless);
  MUST(unlink(gone_path));
  int autobound = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
  struct sockaddr_un none = {.sun_family = AF_UNIX};
  MUST(bind(autobound, (struct sockaddr*)&none, sizeof(sa_family_t)));
  snprintf(auto_name, sizeof auto_name, "%s", unix_name(autobound, false));
  send_to(autobound, abstract, "automatic");
  // Connected to each other, with more in the queue than other senders may queue.
  int left = bound(left_path), right = bound(right_path);
  MUST(unix_try_connect(left, right_path));
  MUST(unix_try_connect(right, left_path));
  for (int i = 0; i < 20; i++) MUST(send(left, "many", 4, 0));
  // A chain: a datagram of an unrelated sender is queued in a socket that is now connected to a third one.
  int first = MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), second = bound(chain_path);
  MUST(unix_try_connect(first, chain_path));
  MUST(send(first, "chained", 7, 0));
  MUST(unix_try_connect(second, path));
  // Connected to a socket that is closed.
  int lonely = MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), leaving = bound(gone_path);
  MUST(unix_try_connect(lonely, gone_path));
  close(leaving);
  MUST(unlink(gone_path));
  // A pair of which one end is connected to the server now.
  int pair[2];
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  MUST(unix_try_connect(pair[0], abstract));
  // Connected to itself.
  const char* self_path = unix_path("self");
  int self = bound(self_path);
  MUST(unix_try_connect(self, self_path));
  MUST(send(self, "to myself", 9, 0));

  victim_wait();

  CHECK(unread(connected) > 0 && unread(idle) == 0, "SIOCOUTQ: %d and %d", unread(connected), unread(idle));
  check_from(server, "from the named", client_path);
  check_from(server, "from the connected", "");
  check_from(server, "from one that is gone", gone_path);
  check_from(server, "from another that is gone", gone_abstract);
  check_from(server, "from nobody", "");
  check_from(server, "from the other", abstract);
  check_from(server, "from itself", path);
  check_empty(server, "the server");
  CHECK_EQ(unread(connected), 0, "SIOCOUTQ afterwards");
  check_name(autobound, false, auto_name, "a socket with an automatic name");
  check_from(other, "automatic", auto_name);
  send_to(other, auto_name, "back");
  check_from(autobound, "back", abstract);
  check_name(connected, true, path, "the connected socket's peer");
  MUST(send(connected, "again", 5, 0));
  MUST(send(idle, "idle no more", 12, 0));
  check_from(server, "again", "");
  check_from(server, "idle no more", "");
  for (int i = 0; i < 20; i++) check_from(right, "many", left_path);
  check_empty(right, "after many");
  MUST(send(right, "one", 3, 0));
  check_from(left, "one", right_path);
  check_from(second, "chained", "");
  CHECK(send(first, "x", 1, 0) == -1 && errno == EPERM, "send to a socket that is connected elsewhere: %s",
        strerror(errno));
  MUST(send(second, "link", 4, 0));
  check_from(server, "link", chain_path);
  check_name(lonely, true, gone_path, "the lonely socket's peer");
  CHECK(send(lonely, "x", 1, 0) == -1 && errno == ECONNREFUSED, "send to one that is gone: %s", strerror(errno));
  MUST(send(pair[0], "elsewhere", 9, 0));
  check_from(other, "elsewhere", "");
  CHECK(send(pair[1], "x", 1, 0) == -1 && errno == EPERM, "send within a pair that is no more: %s", strerror(errno));
  check_from(self, "to myself", self_path);
  MUST(send(self, "again", 5, 0));
  check_from(self, "again", self_path);
  const char* files[] = {path, client_path, left_path, right_path, chain_path, self_path};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    CHECK(unlink(files[i]) == 0, "unlink %s: %s", files[i], strerror(errno));
  CHECK(access(gone_path, F_OK) != 0, "%s is there, though it was deleted", gone_path);
  return victim_end();
}
