// SOL_SOCKET options, as the kernel stores them.
#include "tests/victims/sockets/unix/unix.h"

#include <linux/filter.h>

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

static const struct {
  int name, value;
  const char* word;
} options[] = {
    {SO_SNDBUF, 30000, "SO_SNDBUF"},   {SO_RCVBUF, 70000, "SO_RCVBUF"},       {SO_REUSEADDR, 1, "SO_REUSEADDR"},
    {SO_PRIORITY, 5, "SO_PRIORITY"},   {SO_RCVLOWAT, 7, "SO_RCVLOWAT"},       {SO_MARK, 99, "SO_MARK"},
    {SO_PASSCRED, 1, "SO_PASSCRED"},   {SO_DONTROUTE, 1, "SO_DONTROUTE"},     {SO_NO_CHECK, 1, "SO_NO_CHECK"},
    {SO_BROADCAST, 1, "SO_BROADCAST"}, {SO_KEEPALIVE, 1, "SO_KEEPALIVE"},     {SO_OOBINLINE, 1, "SO_OOBINLINE"},
    {SO_TIMESTAMP, 1, "SO_TIMESTAMP"}, {SO_PEEK_OFF, 3, "SO_PEEK_OFF"},       {SO_PASSPIDFD, 1, "SO_PASSPIDFD"},
    {SO_RXQ_OVFL, 1, "SO_RXQ_OVFL"},   {SO_PASSSEC, 1, "SO_PASSSEC"},         {SO_DEBUG, 1, "SO_DEBUG"},
    {SO_BUF_LOCK, 3, "SO_BUF_LOCK"},   {SO_LOCK_FILTER, 1, "SO_LOCK_FILTER"},
};
enum { kOptions = sizeof options / sizeof *options };

static int value_of(int fd, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -errno;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int ends[2], plain[2], filtered[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, plain));
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, filtered));
  // Datagrams of more than 4 bytes are cut to 4.
  struct sock_filter code[] = {{BPF_RET | BPF_K, 0, 0, 4}};
  struct sock_fprog program = {1, code};
  MUST(send(filtered[0], "before the filter", 17, 0));
  MUST(setsockopt(filtered[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
  int before[kOptions], plain_before[kOptions];
  for (int i = 0; i < kOptions; i++) {
    if (setsockopt(ends[0], SOL_SOCKET, options[i].name, &options[i].value, sizeof(int)) != 0 && errno != EOPNOTSUPP &&
        errno != ENOPROTOOPT)
      victim_setup_failed(options[i].word, __LINE__);
    before[i] = value_of(ends[0], options[i].name);
    plain_before[i] = value_of(plain[0], options[i].name);
  }
  struct linger linger = {1, 12};
  MUST(setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
  struct timeval receive = {0, 250000}, transmit = {3, 0};
  MUST(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &receive, sizeof receive));
  MUST(setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &transmit, sizeof transmit));
  MUST(send(ends[1], "abcdefghij", 10, 0));

  victim_wait();

  for (int i = 0; i < kOptions; i++) {
    CHECK_EQ(value_of(ends[0], options[i].name), before[i], options[i].word);
    CHECK_EQ(value_of(plain[0], options[i].name), plain_before[i], options[i].word);
  }
  socklen_t size = sizeof linger;
  memset(&linger, 0, sizeof linger);
  MUST(getsockopt(ends[0], SOL_SOCKET, SO_LINGER, &linger, &size));
  CHECK(linger.l_onoff == 1 && linger.l_linger == 12, "SO_LINGER: %d %d", linger.l_onoff, linger.l_linger);
  char text[40] = "";
  CHECK(recv(ends[0], text, 2, MSG_PEEK) == 2 && memcmp(text, "de", 2) == 0, "SO_PEEK_OFF: \"%s\"", text);
  CHECK_EQ(recv(ends[0], text, 10, 0), 10, "what waited");
  int64_t began = clock_ns(CLOCK_MONOTONIC);
  CHECK(recv(ends[0], text, 10, 0) == -1 && errno == EAGAIN, "SO_RCVTIMEO: %s", strerror(errno));
  int64_t took = clock_ns(CLOCK_MONOTONIC) - began;
  CHECK(took > 240000000 && took < 5000000000, "SO_RCVTIMEO: %lld ns", (long long)took);
  size = sizeof transmit;
  MUST(getsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &transmit, &size));
  CHECK(transmit.tv_sec == 3 && transmit.tv_usec == 0, "SO_SNDTIMEO: %ld", (long)transmit.tv_sec);
  check_receive(filtered[1], "before the filter", "before the filter");
  MUST(send(filtered[0], "behind the filter", 17, 0));
  check_receive(filtered[1], "behi", "behind the filter");
  return victim_end();
}
