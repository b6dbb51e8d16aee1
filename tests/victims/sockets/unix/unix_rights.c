// Descriptors in flight: of every kind, also open elsewhere, at exact places of a stream, between datagrams.
#include "tests/victims/sockets/unix/unix.h"

static char text[300];
static int passed[16];

static int one(int fd, const char* want, int count, const char* what) {
  int got = receive_rights(fd, text, sizeof text, passed, NULL);
  CHECK(got == count, "%s: %d descriptors, not %d (\"%s\", %s)", what, got, count, text, strerror(errno));
  CHECK(strcmp(text, want) == 0, "%s: \"%s\", not \"%s\"", what, text, want);
  return got > 0 ? passed[0] : -1;
}

static bool same(int a, int b) {
  return syscall(SYS_kcmp, getpid(), getpid(), 0, a, b) == 0;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int stream[2], packets[2], datagrams[2], pipes[2], carried[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, stream));
  MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets));
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams));
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, carried));
  MUST(pipe(pipes));
  int file = MUST(open(own_path("file"), O_CREAT | O_RDWR, 0600));
  MUST(write(file, "0123456789", 10));
  MUST(lseek(file, 3, SEEK_SET));
  int memory = MUST((int)syscall(SYS_memfd_create, "passed", 0));
  MUST(write(memory, "memory", 6));

  int two[] = {file, pipes[1]};
  MUST(send(stream[0], "plain", 5, 0));
  send_rights(stream[0], "two", two, 2);
  MUST(send(stream[0], "after", 5, 0));
  send_rights(stream[0], "m", &memory, 1);
  send_rights(stream[0], "again", &file, 1);
  MUST(send(stream[0], "end", 3, 0));
  send_rights(packets[0], "a record", &carried[0], 1);
  MUST(send(packets[0], "no rights", 9, 0));
  send_rights(packets[0], "itself", &packets[1], 1);
  MUST(send(datagrams[0], "first", 5, 0));
  send_rights(datagrams[0], "second", &pipes[0], 1);
  send_rights(datagrams[1], "the other way", two, 2);
  MUST(send(carried[1], "through", 7, 0));

  victim_wait();

  // A short read stops at the descriptors and returns only the bytes sent before them.
  char five[6] = "";
  CHECK(recv(stream[1], five, 5, 0) == 5 && strcmp(five, "plain") == 0, "before the descriptors: \"%s\"", five);
  int got = receive_rights(stream[1], text, 2, passed, NULL);
  CHECK(got == 2 && text[0] == 't', "the first byte with descriptors: %d, \"%s\"", got, text);
  CHECK(same(passed[0], file), "the file is another description");
  CHECK(same(passed[1], pipes[1]), "the pipe is another description");
  CHECK_EQ(lseek(passed[0], 0, SEEK_CUR), 3, "its position");
  got = receive_rights(stream[1], text, sizeof text, passed, NULL);
  CHECK(got == 1 && strcmp(text, "woafterm") == 0, "up to the next descriptor: %d, \"%s\"", got, text);
  CHECK(got == 1 && same(passed[0], memory), "the memfd is another description");
  CHECK(one(stream[1], "again", 1, "the third") >= 0 && same(passed[0], file), "the file, once more");
  one(stream[1], "end", 0, "the rest");

  int socket = one(packets[1], "a record", 1, "a record");
  CHECK(same(socket, carried[0]), "the socket is another description");
  check_receive(socket, "through", "through a passed socket");
  one(packets[1], "no rights", 0, "a record without");
  CHECK(same(one(packets[1], "itself", 1, "a socket in its own queue"), packets[1]), "itself is another");
  one(datagrams[1], "first", 0, "a datagram");
  int reader = one(datagrams[1], "second", 1, "a datagram with a pipe");
  MUST(write(pipes[1], "piped", 5));
  CHECK(read(reader, text, 10) == 5, "the passed pipe: %s", strerror(errno));
  CHECK(one(datagrams[0], "the other way", 2, "the other way") >= 0 && same(passed[0], file), "the other way");
  check_talk(stream[0], stream[1], "afterwards");
  return victim_end();
}
