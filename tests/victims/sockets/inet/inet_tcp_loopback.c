// TCP connections with both ends in the program: data in both queues, sent and unsent, options, a full window.
#include "tests/victims/sockets/inet/inet.h"

static size_t stuff(int fd, const char* from, size_t length) {
  size_t put = 0;
  while (put < length) {
    ssize_t more = send(fd, from + put, length - put, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (more <= 0) break;
    put += (size_t)more;
  }
  return put;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  static char content[16 << 20], got[16 << 20];
  fill(content, sizeof content, 11);
  int families[2] = {AF_INET, AF_INET6};
  struct tcp_pair idle[2], loaded[2], full[2];
  int listener[2];
  size_t stuffed[2];
  for (int i = 0; i < 2; i++) {
    listener[i] = listening(families[i], 0, 16);
    idle[i] = connected(families[i], listener[i]);
    check_talk(idle[i], "before");
    loaded[i] = connected(families[i], listener[i]);
    send_all(loaded[i].client, content, 5000);
    send_all(loaded[i].server, content + 100, 70);
    MUST(recv(loaded[i].server, got, 1000, 0));
    full[i] = connected(families[i], listener[i]);
    stuffed[i] = stuff(full[i].client, content, sizeof content);
    set_int(full[i].server, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int(idle[i].client, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_int(idle[i].client, IPPROTO_TCP, TCP_KEEPIDLE, 77);
    set_int(idle[i].server, SOL_SOCKET, SO_REUSEADDR, 0);
    set_int(idle[i].server, IPPROTO_TCP, TCP_USER_TIMEOUT, 54321);
  }
  close(listener[1]);
  struct sockaddr_storage names[2][2];
  socklen_t length = sizeof names[0][0];
  memset(names, 0, sizeof names);
  MUST(getsockname(idle[0].client, (struct sockaddr*)&names[0][0], &length));
  length = sizeof names[0][0];
  MUST(getpeername(idle[0].client, (struct sockaddr*)&names[0][1], &length));
  int reuse = get_int(idle[0].client, SOL_SOCKET, SO_REUSEADDR);
  struct tcp_info info;
  length = sizeof info;
  MUST(getsockopt(idle[0].client, IPPROTO_TCP, TCP_INFO, &info, &length));
  int options = info.tcpi_options, wscale = info.tcpi_snd_wscale;

  victim_wait();

  length = sizeof names[0][0];
  MUST(getsockname(idle[0].client, (struct sockaddr*)&names[1][0], &length));
  length = sizeof names[0][0];
  MUST(getpeername(idle[0].client, (struct sockaddr*)&names[1][1], &length));
  CHECK(memcmp(names[0], names[1], sizeof(struct sockaddr_in)) == 0, "its name");
  CHECK(memcmp(&names[0][1], &names[1][1], sizeof(struct sockaddr_in)) == 0, "its peer's name");
  length = sizeof info;
  MUST(getsockopt(idle[0].client, IPPROTO_TCP, TCP_INFO, &info, &length));
  CHECK_EQ(info.tcpi_options, options, "negotiated options");
  CHECK_EQ(info.tcpi_snd_wscale, wscale, "window scale");
  CHECK_EQ(get_int(idle[0].client, SOL_SOCKET, SO_REUSEADDR), reuse, "SO_REUSEADDR");
  for (int i = 0; i < 2; i++) {
    CHECK_EQ(state_of(idle[i].client), TCP_ESTABLISHED, "state");
    check_talk(idle[i], "idle");
    CHECK_EQ(get_int(idle[i].client, IPPROTO_TCP, TCP_KEEPIDLE), 77, "TCP_KEEPIDLE");
    CHECK_EQ(get_int(idle[i].client, SOL_SOCKET, SO_KEEPALIVE), 1, "SO_KEEPALIVE");
    CHECK_EQ(get_int(idle[i].server, IPPROTO_TCP, TCP_USER_TIMEOUT), 54321, "TCP_USER_TIMEOUT");
    CHECK_EQ(get_int(full[i].server, IPPROTO_TCP, TCP_NODELAY), 1, "TCP_NODELAY");
    CHECK(receive(loaded[i].server, got, 4000) == 4000 && memcmp(got, content + 1000, 4000) == 0, "what was received");
    CHECK(receive(loaded[i].client, got, 70) == 70 && memcmp(got, content + 100, 70) == 0, "the way back");
    check_talk(loaded[i], "loaded");
    size_t have = receive(full[i].server, got, stuffed[i]);
    CHECK_EQ(have, stuffed[i], "bytes of the full one");
    CHECK(memcmp(got, content, have) == 0, "content of the full one");
    check_talk(full[i], "the full one");
    shutdown(full[i].client, SHUT_WR);
    check_end(full[i].server, "the full one");
  }
  struct tcp_pair new = connected(AF_INET, listener[0]);
  check_talk(new, "a new one");
  return victim_end();
}
