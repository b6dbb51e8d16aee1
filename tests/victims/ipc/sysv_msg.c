// System V message queues: messages of several types and sizes in order, limits, key; and an empty queue.
#include "tests/victims/victim.h"

#include <sys/ipc.h>
#include <sys/msg.h>

struct message {
  long type;
  char text[8192];
};

int main(int argc, char** argv) {
  victim_start(argc, argv);
  static struct message message;
  int queue = MUST(msgget(0x43525803, IPC_CREAT | IPC_EXCL | 0622));
  struct msqid_ds status;
  MUST(msgctl(queue, IPC_STAT, &status));
  status.msg_qbytes = 12000;
  MUST(msgctl(queue, IPC_SET, &status));
  for (int i = 0; i < 5; i++) {
    message.type = 1 + i % 2;
    fill(message.text, sizeof message.text, (uint64_t)i);
    MUST(msgsnd(queue, &message, (size_t)i * 1111, 0));
  }
  int empty = MUST(msgget(IPC_PRIVATE, 0600));
  message.type = 9;
  MUST(msgsnd(empty, &message, 10, 0));
  MUST(msgrcv(empty, &message, 10, 0, 0));

  victim_wait();

  CHECK_EQ(msgget(0x43525803, 0), queue, "number behind the key");
  MUST(msgctl(queue, IPC_STAT, &status));
  CHECK_EQ(status.msg_qnum, 5, "messages");
  CHECK_EQ(status.msg_qbytes, 12000, "limit");
  CHECK_EQ(status.msg_perm.mode & 0777, 0622, "mode");
  static const int order[] = {1, 3, 0, 2, 4};  // messages of type 2 come first
  for (int i = 0; i < 5; i++) {
    static char want[8192];
    fill(want, sizeof want, (uint64_t)order[i]);
    ssize_t got = msgrcv(queue, &message, sizeof message.text, i < 2 ? 2 : 0, IPC_NOWAIT);
    CHECK_EQ(got, order[i] * 1111, "size of a message");
    CHECK_EQ(message.type, 1 + order[i] % 2, "type of a message");
    CHECK(got < 0 || memcmp(message.text, want, (size_t)got) == 0, "content of message %d", order[i]);
  }
  CHECK(msgrcv(empty, &message, 10, 0, IPC_NOWAIT) == -1 && errno == ENOMSG, "the empty queue: %s", strerror(errno));
  MUST(msgctl(queue, IPC_RMID, NULL));
  MUST(msgctl(empty, IPC_RMID, NULL));
  return victim_end();
}
