// Names of the process and of its threads, odd bytes included.
#include "tests/victims/victim.h"
static _Atomic int go;
static const char* const names[] = {") R 1 (", "", "fifteen letters", "new\nline", "\xff\x01 bytes"};

static void* body(void* argument) {
  char now[16];
  MUST(prctl(PR_SET_NAME, argument));
  wait_change(&go, 0);
  MUST(prctl(PR_GET_NAME, now));
  CHECK(strcmp(now, argument) == 0, "a thread is called '%s', not '%s'", now, (char*)argument);
  return NULL;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char now[16];
  MUST(prctl(PR_SET_NAME, "State:\tZ (x)"));
  pthread_t threads[5];
  for (int i = 0; i < 5; i++) threads[i] = start_thread(body, (void*)names[i]);
  victim_wait();
  MUST(prctl(PR_GET_NAME, now));
  CHECK(strcmp(now, "State:\tZ (x)") == 0, "main is called %s", now);
  go = 1;
  for (int i = 0; i < 5; i++) pthread_join(threads[i], NULL);
  return victim_end();
}
