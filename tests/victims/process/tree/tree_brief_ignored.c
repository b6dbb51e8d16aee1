// Short-lived children write into shared memory; their parent ignores SIGCHLD.
#include "tests/victims/process/tree/brief_writers.h"

int main(int argc, char** argv) {
  struct sigaction ignore = {.sa_handler = SIG_IGN};
  return brief_writers(argc, argv, &ignore);
}
