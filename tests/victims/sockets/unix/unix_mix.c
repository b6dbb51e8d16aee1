// Ordinary uses of unix sockets in one program, as far as other tools that read the images support them.
#include "tests/victims/sockets/unix/unix.h"

#include <linux/filter.h>

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int stream[2], datagrams[2], records[2], filtered[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, stream));
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams));
  MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, records));
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, filtered));
  MUST(send(stream[0], "stream", 6, 0));
  MUST(send(datagrams[0], "one", 3, 0));
  MUST(send(datagrams[0], "two", 3, 0));
  MUST(send(records[1], "record", 6, 0));
  // Datagrams of 10 bytes and more are cut to 4.
  struct sock_filter code[] = {{BPF_LD | BPF_W | BPF_LEN, 0, 0, 0},
                               {BPF_JMP | BPF_JGE | BPF_K, 1, 0, 10},
                               {BPF_RET | BPF_K, 0, 0, 100},
                               {BPF_RET | BPF_K, 0, 0, 4}};
  struct sock_fprog program = {4, code};
  MUST(setsockopt(filtered[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
  const char *name = unix_path("listening"), *abstract = "@crx-unix-mix";
  int listening = unix_server(SOCK_STREAM, name, 5), client = unix_client(SOCK_STREAM, name);
  int accepted = MUST(accept(listening, NULL, NULL));
  MUST(send(client, "request", 7, 0));
  int receiver = MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), sender = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
  unix_bind(receiver, abstract);
  MUST(unix_try_connect(sender, abstract));
  int file = MUST(open("/etc/hostname", O_RDONLY));
  send_rights(stream[1], "file", &file, 1);

  victim_wait();

  check_receive(stream[1], "stream", "a stream");
  check_receive(datagrams[1], "one", "a datagram");
  check_receive(datagrams[1], "two", "another datagram");
  check_receive(records[0], "record", "a record");
  check_receive(accepted, "request", "a connection");
  check_talk(client, accepted, "a connection");
  MUST(send(sender, "datagram", 8, 0));
  check_receive(receiver, "datagram", "a connected datagram socket");
  MUST(send(filtered[0], "behind the filter", 17, 0));
  check_receive(filtered[1], "behi", "a long datagram behind a filter");
  MUST(send(filtered[0], "short", 5, 0));
  check_receive(filtered[1], "short", "a short datagram behind a filter");
  char text[10];
  int passed[16];
  CHECK_EQ(receive_rights(stream[0], text, sizeof text, passed, NULL), 1, "passed descriptors");
  CHECK(syscall(SYS_kcmp, getpid(), getpid(), 0, passed[0], file) == 0, "the passed file is another description");
  int late = unix_client(SOCK_STREAM, name), answer = MUST(accept(listening, NULL, NULL));
  check_talk(late, answer, "a new connection");
  MUST(unlink(name));
  return victim_end();
}
