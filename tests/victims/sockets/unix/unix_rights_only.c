// Descriptors in flight that are open nowhere else: files, both ends of a pipe, connections within connections.
#include "tests/victims/sockets/unix/unix.h"

#include <sys/eventfd.h>

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int way[2], inner[2], middle[2], pipes[2], datagrams[2], lone[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, way));
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams));
  // A file, at a position; a deleted one; an eventfd.
  int file = MUST(open(own_path("file"), O_CREAT | O_RDWR | O_APPEND, 0600));
  MUST(write(file, "0123456789", 10));
  MUST(lseek(file, 4, SEEK_SET));
  give(way[0], "file", file);
  int deleted = MUST(open(own_path("deleted"), O_CREAT | O_RDWR, 0600));
  MUST(write(deleted, "deleted", 7));
  MUST(unlink(own_path("deleted")));
  give(way[0], "deleted", deleted);
  give(way[0], "counter", MUST(eventfd(5, EFD_NONBLOCK)));
  // A pipe with content whose ends are both in flight, in two sockets.
  MUST(pipe(pipes));
  MUST(write(pipes[1], "piped", 5));
  give(way[0], "reader", pipes[0]);
  give(datagrams[0], "writer", pipes[1]);
  // A connection whose ends are both in flight, one of them in another socket that is in flight.
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, inner));
  MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, middle));
  MUST(send(inner[0], "innermost", 9, 0));
  give(middle[0], "inner end", inner[1]);
  give(datagrams[0], "other inner end", inner[0]);
  MUST(send(middle[0], "middle", 6, 0));
  give(way[0], "middle end", middle[1]);
  // One end is open, the other in flight; and one whose other end is closed.
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, lone));
  MUST(send(lone[0], "alone", 5, 0));
  give(way[0], "far end", lone[1]);
  const char* name = unix_path("listening");
  give(way[0], "listening", unix_server(SOCK_STREAM, name, 3));
  MUST(send(way[0], "end", 3, 0));

  victim_wait();

  char byte[20];
  int got = take(way[1], "file");
  CHECK_EQ(lseek(got, 0, SEEK_CUR), 4, "position of the passed file");
  CHECK((fcntl(got, F_GETFL) & O_APPEND) != 0, "O_APPEND of the passed file");
  got = take(way[1], "deleted");
  CHECK(pread(got, byte, 20, 0) == 7 && memcmp(byte, "deleted", 7) == 0, "content of the deleted file");
  got = take(way[1], "counter");
  uint64_t count = 0;
  CHECK(read(got, &count, 8) == 8 && count == 5, "the counter: %llu", (unsigned long long)count);
  int reader = take(way[1], "reader");
  int writer = take(datagrams[1], "writer");
  CHECK(read(reader, byte, 20) == 5 && memcmp(byte, "piped", 5) == 0, "content of the pipe");
  MUST(write(writer, "more", 4));
  CHECK(read(reader, byte, 20) == 4, "the pipe is in two pieces");
  close(writer);
  CHECK_EQ(read(reader, byte, 20), 0, "end of file of the pipe: somebody holds the other end");
  int middle_end = take(way[1], "middle end");
  int inner_end = take(middle_end, "inner end");
  check_receive(middle_end, "middle", "through the passed connection");
  check_receive(inner_end, "innermost", "through the innermost connection");
  check_talk(take(datagrams[1], "other inner end"), inner_end, "the innermost connection");
  CHECK_EQ(send(middle[0], "x", 1, MSG_NOSIGNAL), 1, "the middle connection");
  int far = take(way[1], "far end");
  check_receive(far, "alone", "the far end");
  check_talk(lone[0], far, "one end here");
  close(far);
  CHECK_EQ(recv(lone[0], byte, 1, 0), 0, "end of file: somebody holds the far end");
  int listening = take(way[1], "listening");
  int client = unix_client(SOCK_STREAM, name);
  int accepted = accept(listening, NULL, NULL);
  CHECK(accepted >= 0, "accept: %s", strerror(errno));
  check_talk(client, accepted, "the passed listener");
  check_receive(way[1], "end", "the end");
  MUST(unlink(name));
  return victim_end();
}
