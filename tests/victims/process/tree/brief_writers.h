// Shared anonymous memory that only short-lived children write: they leave no mark in the page tables of other
// processes. Some call execve after they have written.
#pragma once
#include "tests/victims/process/tree/tree.h"

enum { kPages = 2048, kStores = 8 };

static uint64_t* shared;
static uint64_t wanted[kPages];

static size_t page_of(uint64_t child, int store) {
  return pattern(child, (size_t)store * 512 + 1) % kPages;
}

static void write_briefly(uint64_t child, bool exec) {
  for (int i = 0; i < kStores; i++) shared[page_of(child, i) * 512] = child;
  if (exec) execl("/bin/true", "true", NULL);
  _exit(0);
}

// action: the writer's action for SIGCHLD, by which none of its children becomes a zombie; NULL: it waits for them.
static int keep_writing(void* argument) {
  struct sigaction* action = argument;
  bool waits = action == NULL;
  if (action != NULL) MUST(sigaction(SIGCHLD, action, NULL));
  shared = mmap(NULL, kPages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (uint64_t child = 1; access(victim_go, F_OK) != 0; child++) {
    pid_t pid = MUST(fork());
    if (pid == 0) write_briefly(child, child % 8 == 0);
    int status = 0;
    pid_t ended = waitpid(pid, &status, 0);
    CHECK(waits ? ended == pid && status == 0 : ended == -1 && errno == ECHILD,
          "child %d: waitpid gives %d, status 0x%x", (int)pid, (int)ended, status);
    for (int i = 0; i < kStores; i++) wanted[page_of(child, i)] = child;
    struct timespec nap = {0, 4000000};
    nanosleep(&nap, NULL);
  }
  for (size_t i = 0; i < kPages; i++) CHECK_EQ(shared[i * 512], wanted[i], "a page of shared memory");
  return child_failures();
}

UNUSED static int brief_writers(int argc, char** argv, struct sigaction* action) {
  victim_start(argc, argv);
  pid_t writer = spawn(keep_writing, action);
  victim_wait();
  expect_exit(writer, 0, "the writer");
  return victim_end();
}
