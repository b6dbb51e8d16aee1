// The clear_child_tid addresses of the main thread and another one; joining after the move works.
#include "tests/victims/victim.h"
static _Atomic int go;
static int* addresses[2][2];

static void* body(void* unused) {
  MUST(prctl(PR_GET_TID_ADDRESS, &addresses[1][0], 0, 0, 0));
  wait_change(&go, 0);
  MUST(prctl(PR_GET_TID_ADDRESS, &addresses[1][1], 0, 0, 0));
  return unused;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  MUST(prctl(PR_GET_TID_ADDRESS, &addresses[0][0], 0, 0, 0));
  pthread_t thread = start_thread(body, &go);
  while (*(int** volatile)&addresses[1][0] == NULL) sched_yield();
  victim_wait();
  MUST(prctl(PR_GET_TID_ADDRESS, &addresses[0][1], 0, 0, 0));
  void* result = NULL;
  go = 1;
  CHECK(pthread_join(thread, &result) == 0 && result == &go, "join");
  for (int i = 0; i < 2; i++)
    CHECK(addresses[i][0] == addresses[i][1], "clear_child_tid of %s: %p, not %p", i ? "thread" : "main",
          (void*)addresses[i][1], (void*)addresses[i][0]);
  return victim_end();
}
