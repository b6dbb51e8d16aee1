// Many TCP connections within the program, each with its own bytes in flight.
#include "tests/victims/sockets/inet/inet.h"

enum { kPairs = 300 };

int main(int argc, char** argv) {
  victim_start(argc, argv);
  static struct tcp_pair pairs[kPairs];
  int listener = listening(AF_INET, 0, 16);
  for (int i = 0; i < kPairs; i++) {
    pairs[i] = connected(AF_INET, listener);
    send_all(pairs[i].client, (char*)&i, sizeof i);
    int back = -i;
    send_all(pairs[i].server, (char*)&back, sizeof back);
  }

  victim_wait();

  for (int i = 0; i < kPairs; i++) {
    int there = -1, back = 1;
    CHECK(receive(pairs[i].server, (char*)&there, sizeof there) == sizeof there && there == i, "pair %d: %d came", i,
          there);
    CHECK(receive(pairs[i].client, (char*)&back, sizeof back) == sizeof back && back == -i, "pair %d: %d came back", i,
          back);
    check_talk(pairs[i], "a pair");
  }
  struct tcp_pair more = connected(AF_INET, listener);
  check_talk(more, "a new one");
  return victim_end();
}
