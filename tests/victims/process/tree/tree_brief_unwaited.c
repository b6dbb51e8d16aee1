// Short-lived children write into shared memory; their parent has set SA_NOCLDWAIT.
#include "tests/victims/process/tree/brief_writers.h"

int main(int argc, char** argv) {
  struct sigaction no_zombies = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
  return brief_writers(argc, argv, &no_zombies);
}
