// Every resource limit, soft and hard.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  struct rlimit before[RLIM_NLIMITS], now;
  struct rlimit files = {500, 900}, core = {0, 1 << 20}, stack = {4 << 20, 64 << 20}, locked = {1 << 20, 2 << 20};
  MUST(setrlimit(RLIMIT_NOFILE, &files));
  MUST(setrlimit(RLIMIT_CORE, &core));
  MUST(setrlimit(RLIMIT_STACK, &stack));
  MUST(setrlimit(RLIMIT_MEMLOCK, &locked));
  struct rlimit seconds = {10000, 20000}, queue = {1000, 2000};
  MUST(setrlimit(RLIMIT_CPU, &seconds));
  MUST(setrlimit(RLIMIT_SIGPENDING, &queue));
  for (int i = 0; i < (int)RLIM_NLIMITS; i++) MUST(getrlimit((__rlimit_resource_t)i, &before[i]));
  victim_wait();
  for (int i = 0; i < (int)RLIM_NLIMITS; i++) {
    MUST(getrlimit((__rlimit_resource_t)i, &now));
    CHECK(now.rlim_cur == before[i].rlim_cur && now.rlim_max == before[i].rlim_max,
          "limit %d: %lld/%lld, not %lld/%lld", i, (long long)now.rlim_cur, (long long)now.rlim_max,
          (long long)before[i].rlim_cur, (long long)before[i].rlim_max);
  }
  return victim_end();
}
