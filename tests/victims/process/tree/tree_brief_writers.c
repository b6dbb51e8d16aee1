// Short-lived children write into shared memory; their parent waits for them.
#include "tests/victims/process/tree/brief_writers.h"

int main(int argc, char** argv) {
  return brief_writers(argc, argv, NULL);
}
