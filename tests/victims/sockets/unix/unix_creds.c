// SO_PASSCRED: queued messages carry their sender; SO_PEERCRED of pairs made as another user.
#include "tests/victims/sockets/unix/unix.h"

static void send_as(int fd, const char* text, uid_t uid, gid_t gid) {
  char control[CMSG_SPACE(sizeof(struct ucred))] = {0};
  struct ucred who = {getpid(), uid, gid};
  struct iovec part = {(void*)(uintptr_t)text, strlen(text)};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_CREDENTIALS;
  header->cmsg_len = CMSG_LEN(sizeof who);
  memcpy(CMSG_DATA(header), &who, sizeof who);
  MUST(sendmsg(fd, &message, 0));
}

static void check_sent(int fd, const char* want, pid_t pid, uid_t uid, gid_t gid) {
  char text[100];
  int passed[16];
  struct ucred who = {0};
  CHECK(receive_rights(fd, text, sizeof text, passed, &who) == 0 && strcmp(text, want) == 0, "\"%s\", not \"%s\" (%s)",
        text, want, strerror(errno));
  CHECK(who.pid == pid && who.uid == uid && who.gid == gid, "\"%s\" was sent by %d %d %d, not %d %d %d", want, who.pid,
        who.uid, who.gid, pid, uid, gid);
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int one = 1, pairs[3][2], odd[2], child_pair[2];
  static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
  for (int t = 0; t < 3; t++) {
    MUST(socketpair(AF_UNIX, types[t], 0, pairs[t]));
    MUST(setsockopt(pairs[t][1], SOL_SOCKET, SO_PASSCRED, &one, sizeof one));
    MUST(send(pairs[t][0], "plain", 5, 0));
    send_as(pairs[t][0], "as 33", 33, 44);
    send_as(pairs[t][0], "as 34", 34, 44);
  }
  MUST((int)syscall(SYS_setresgid, -1, 55, -1));
  MUST((int)syscall(SYS_setresuid, -1, 66, -1));
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, odd));
  MUST((int)syscall(SYS_setresuid, -1, 0, -1));
  MUST((int)syscall(SYS_setresgid, -1, 0, -1));
  prctl(PR_SET_DUMPABLE, 1);
  // Sent by a process that has ended since.
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, child_pair));
  MUST(setsockopt(child_pair[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof one));
  pid_t child = MUST(fork());
  if (child == 0) {
    send_as(child_pair[0], "from a child", 0, 0);
    _exit(0);
  }
  MUST(waitpid(child, NULL, 0));

  victim_wait();

  for (int t = 0; t < 3; t++) {
    check_sent(pairs[t][1], "plain", getpid(), 0, 0);
    check_sent(pairs[t][1], "as 33", getpid(), 33, 44);
    check_sent(pairs[t][1], "as 34", getpid(), 34, 44);
    MUST(send(pairs[t][0], "later", 5, 0));
    check_sent(pairs[t][1], "later", getpid(), 0, 0);
  }
  check_sent(child_pair[1], "from a child", child, 0, 0);
  struct ucred who = {0};
  socklen_t size = sizeof who;
  MUST(getsockopt(odd[0], SOL_SOCKET, SO_PEERCRED, &who, &size));
  CHECK(who.pid == getpid() && who.uid == 66 && who.gid == 55, "SO_PEERCRED: %d %d %d", who.pid, who.uid, who.gid);
  return victim_end();
}
