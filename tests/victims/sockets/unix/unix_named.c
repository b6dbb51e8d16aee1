// Listening sockets and connections to them: paths, abstract and relative names, names that are deleted or taken by
// another file, permissions, peers.
#include "tests/victims/sockets/unix/unix.h"

struct service {
  const char* name;  // as bound
  const char* path;  // how it is reached, NULL if it cannot be
  int listening, accepted, client;
};

static void serve(struct service* service, int type, const char* name, const char* path) {
  service->name = name;
  service->path = path;
  service->listening = unix_server(type, name, 5);
  service->client = unix_client(type, name);
  service->accepted = MUST(accept(service->listening, NULL, NULL));
  MUST(send(service->client, "request", 7, 0));
}

static void check_peer(int fd, const char* what) {
  struct ucred who = {0};
  socklen_t size = sizeof who;
  MUST(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size));
  CHECK_EQ(who.pid, getpid(), what);
  CHECK_EQ(who.uid, geteuid(), what);
  CHECK_EQ(who.gid, getegid(), what);
}

static void check(struct service* service, int type) {
  check_name(service->listening, false, service->name, "a listening socket");
  check_name(service->accepted, false, service->name, "an accepted socket");
  check_name(service->accepted, true, "", "an accepted socket's peer");
  check_name(service->client, true, service->name, "a client's peer");
  check_receive(service->accepted, "request", service->name);
  check_talk(service->client, service->accepted, service->name);
  check_peer(service->client, "SO_PEERCRED of the server");
  check_peer(service->accepted, "SO_PEERCRED of the client");
  int fd = socket(AF_UNIX, type, 0);
  int failed = unix_try_connect(fd, service->path != NULL ? service->path : service->name);
  if (service->path == NULL) {
    CHECK(failed, "%s is there, though its file was deleted", service->name);
  } else {
    CHECK(!failed, "%s: connect: %s", service->path, strerror(errno));
    int accepted = accept(service->listening, NULL, NULL);
    CHECK(accepted >= 0, "%s: accept: %s", service->path, strerror(errno));
    check_talk(fd, accepted, "a new connection");
    close(accepted);
  }
  close(fd);
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  struct service path, packets, abstract, relative, deleted, replaced, renamed, bare;
  char directory[100], below[120], moved[120];
  snprintf(directory, sizeof directory, "%s", unix_path("dir"));
  MUST(mkdir(directory, 0755));
  MUST(chdir(directory));
  MUST(mkdir("sub", 0755));
  serve(&path, SOCK_STREAM, unix_path("stream"), unix_path("stream"));
  MUST(chmod(path.name, 0640));
  MUST(chown(path.name, 1234, 4321));
  serve(&packets, SOCK_SEQPACKET, unix_path("packets"), unix_path("packets"));
  static char abstract_name[40];
  snprintf(abstract_name, sizeof abstract_name, "@crxtest-%d", getpid());
  serve(&abstract, SOCK_STREAM, abstract_name, abstract_name);
  snprintf(below, sizeof below, "%s/sub/../relative", directory);
  serve(&relative, SOCK_STREAM, "sub/../relative", below);
  serve(&bare, SOCK_STREAM, "bare", "bare");
  serve(&deleted, SOCK_STREAM, unix_path("deleted"), NULL);
  MUST(unlink(deleted.name));
  serve(&replaced, SOCK_STREAM, unix_path("replaced"), NULL);
  MUST(unlink(replaced.name));
  int file = MUST(open(replaced.name, O_CREAT | O_RDWR | O_EXCL, 0600));
  MUST(write(file, "a file", 6));
  snprintf(moved, sizeof moved, "%s/renamed", directory);
  serve(&renamed, SOCK_STREAM, unix_path("original"), moved);
  MUST(rename(renamed.name, moved));
  int named_client = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
  const char* client_name = unix_path("client");
  unix_bind(named_client, client_name);
  MUST(unix_try_connect(named_client, path.name));
  int its_server = MUST(accept(path.listening, NULL, NULL));
  int bound = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
  const char* bound_name = unix_path("bound");
  unix_bind(bound, bound_name);
  int fresh = MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
  // A listening socket that is closed, and one of its connections.
  struct service left;
  serve(&left, SOCK_STREAM, unix_path("left"), NULL);
  close(left.listening);

  victim_wait();

  check(&path, SOCK_STREAM);
  check(&packets, SOCK_SEQPACKET);
  check(&abstract, SOCK_STREAM);
  check(&relative, SOCK_STREAM);
  check(&bare, SOCK_STREAM);
  check(&deleted, SOCK_STREAM);
  check(&replaced, SOCK_STREAM);
  check(&renamed, SOCK_STREAM);
  struct stat about;
  MUST(stat(path.name, &about));
  CHECK_EQ(about.st_mode, S_IFSOCK | 0640, "mode of the socket's file");
  CHECK_EQ(about.st_uid, 1234, "owner of the socket's file");
  CHECK_EQ(about.st_gid, 4321, "group of the socket's file");
  MUST(stat(replaced.name, &about));
  CHECK(S_ISREG(about.st_mode) && about.st_size == 6, "the file that took the name is not there");
  CHECK(access(renamed.name, F_OK) != 0, "the old name of a renamed socket is there");
  check_name(named_client, false, client_name, "a client with a name");
  check_name(its_server, true, client_name, "its server");
  check_talk(named_client, its_server, "a client with a name");
  CHECK(listen(bound, 1) == 0, "listen on a bound socket: %s", strerror(errno));
  int late = socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK(unix_try_connect(late, bound_name) == 0, "connect to a bound socket: %s", strerror(errno));
  CHECK(unix_try_connect(fresh, path.name) == 0, "connect of a new socket: %s", strerror(errno));
  check_name(left.accepted, false, left.name, "an accepted socket whose listener is gone");
  check_name(left.client, true, left.name, "its client");
  check_receive(left.accepted, "request", "a listener that is gone");
  check_talk(left.client, left.accepted, "a listener that is gone");
  check_peer(left.client, "SO_PEERCRED of a listener that is gone");
  const char* files[] = {path.name, packets.name, "relative", "bare",   replaced.name,
                         moved,     client_name,  bound_name, left.name};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    CHECK(unlink(files[i]) == 0 || files[i] == left.name, "unlink %s: %s", files[i], strerror(errno));
  MUST(rmdir("sub"));
  CHECK(rmdir(directory) == 0, "something was left in the directory: %s", strerror(errno));
  return victim_end();
}
