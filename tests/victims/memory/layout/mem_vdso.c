// The vDSO: its address is unchanged, and all its functions work.
#include "tests/victims/victim.h"

#include <sys/auxv.h>
#include <sys/time.h>

int main(int argc, char** argv) {
  victim_start(argc, argv);
  unsigned long vdso = getauxval(AT_SYSINFO_EHDR);
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(1 % sysconf(_SC_NPROCESSORS_ONLN), &one);
  MUST(sched_setaffinity(0, sizeof one, &one));

  victim_wait();

  CHECK(memcmp((void*)vdso, "\177ELF", 4) == 0, "no vDSO at its address");
  struct timespec by_call, by_vdso, resolution;
  for (int clock = 0; clock <= CLOCK_TAI; clock++) {
    if (clock == 8 || clock == 10) continue;
    if (clock_gettime(clock, &by_vdso) != 0) continue;
    MUST((int)syscall(SYS_clock_gettime, clock, &by_call));
    int64_t apart = (by_call.tv_sec - by_vdso.tv_sec) * 1000000000LL + by_call.tv_nsec - by_vdso.tv_nsec;
    CHECK(apart > -20000000 && apart < 500000000, "clock %d: vDSO and system call are %lld ns apart", clock,
          (long long)apart);
    CHECK(clock_getres(clock, &resolution) == 0, "clock_getres(%d)", clock);
  }
  struct timeval now;
  CHECK(gettimeofday(&now, NULL) == 0 && time(NULL) - now.tv_sec <= 1, "gettimeofday and time differ");
  unsigned cpu = 99, node = 99;
  CHECK(getcpu(&cpu, &node) == 0 && cpu == (unsigned)(1 % sysconf(_SC_NPROCESSORS_ONLN)), "getcpu: %u", cpu);
  CHECK_EQ(sched_getcpu(), cpu, "sched_getcpu");
  return victim_end();
}
