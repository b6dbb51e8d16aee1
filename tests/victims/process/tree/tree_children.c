// Three generations, each with its own memory and a pipe to its parent; the parents stay the same.
#include "tests/victims/process/tree/tree.h"

struct node {
  int depth;
  int up;  // write end to the parent
};

static int live(void* argument) {
  struct node* node = argument;
  pid_t parent = getppid(), self = getpid();
  uint64_t* memory = map_anon(64 * PAGE);
  fill(memory, 64 * PAGE, (uint64_t)self);
  pid_t child = 0;
  int ends[2] = {-1, -1};
  if (node->depth > 0) {
    MUST(pipe(ends));
    struct node below = {node->depth - 1, ends[1]};
    child = spawn(live, &below);
    close(ends[1]);
  }
  child_wait();
  CHECK_EQ(getpid(), self, "pid");
  CHECK_EQ(getppid(), parent, "ppid");
  check_fill(memory, 64 * PAGE, (uint64_t)self, "a child's memory");
  if (child != 0) {
    pid_t said = 0;
    CHECK_EQ(read(ends[0], &said, sizeof said), sizeof said, "reading from the child");
    CHECK_EQ(said, child, "what the child says");
    expect_exit(child, 0, "a grandchild");
  }
  CHECK_EQ(write(node->up, &self, sizeof self), sizeof self, "writing to the parent");
  return child_failures();
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int ends[2];
  MUST(pipe(ends));
  pid_t children[3];
  for (int i = 0; i < 3; i++) {
    struct node below = {i, ends[1]};
    children[i] = spawn(live, &below);
  }
  victim_wait();
  for (int i = 0; i < 3; i++) expect_exit(children[i], 0, "a child");
  pid_t said[3];
  CHECK_EQ(read(ends[0], said, sizeof said), sizeof said, "reading from the children");
  return victim_end();
}
