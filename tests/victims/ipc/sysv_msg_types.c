// msgrcv by type, by "up to" type, by "all but" type, waiting in three processes; one waits in a full queue.
#include "tests/victims/process/tree/tree.h"

#include <sys/ipc.h>
#include <sys/msg.h>

static int id, full;
struct m {
  long t;
  char x[64];
};
static int rcv(void* a) {
  long k = (long)a;
  struct m m;
  ssize_t n = msgrcv(id, &m, 64, k == 2 ? -3 : k == 3 ? 9 : 5, k == 3 ? MSG_EXCEPT : 0);
  CHECK(n == 4, "msgrcv %ld: %zd %s", k, n, strerror(errno));
  CHECK_EQ(m.t, k == 2 ? 2 : k == 3 ? 1000 : 5, "type");
  return child_failures();
}

static int snd(void* a) {
  (void)a;
  struct m m = {7, "full"};
  CHECK(msgsnd(full, &m, 64, 0) == 0, "msgsnd %s", strerror(errno));
  return child_failures();
}

static void blocked(pid_t p) {
  char path[64], t[256];
  snprintf(path, 64, "/proc/%d/syscall", p);
  do read_file(path, t, 256);
  while (strncmp(t, "70 ", 3) && strncmp(t, "69 ", 3));
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  id = MUST(msgget(IPC_PRIVATE, 0600));
  full = MUST(msgget(IPC_PRIVATE, 0600));
  struct m m = {9, "nine"};
  MUST(msgsnd(id, &m, 4, 0));
  while (msgsnd(full, &m, 64, IPC_NOWAIT) == 0) m.t++;
  pid_t p1 = spawn(rcv, (void*)1);
  blocked(p1);
  pid_t p2 = spawn(rcv, (void*)2);
  blocked(p2);
  pid_t s = spawn(snd, 0);
  blocked(s);

  victim_wait();

  m.t = 5;
  MUST(msgsnd(id, &m, 4, 0));
  expect_exit(p1, 0, "5");
  m.t = 2;
  MUST(msgsnd(id, &m, 4, 0));
  expect_exit(p2, 0, "2");
  struct msqid_ds d;
  MUST(msgctl(id, IPC_STAT, &d));
  CHECK_EQ(d.msg_qnum, 1, "left");
  for (long t = 9;; t++) {
    struct m g;
    ssize_t n = msgrcv(full, &g, 64, 0, IPC_NOWAIT);
    if (n < 0) break;
    if (g.t == 7) {
      break;
    }
    CHECK_EQ(g.t, t, "order");
  }
  expect_exit(s, 0, "sender");
  msgctl(id, IPC_RMID, 0);
  msgctl(full, IPC_RMID, 0);
  return victim_end();
}
