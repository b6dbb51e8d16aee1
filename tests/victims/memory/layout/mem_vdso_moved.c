// A vDSO that was moved by mremap, and clocks that are read through it.
#include "tests/victims/victim.h"

#include <sys/auxv.h>

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char text[65536];
  read_file("/proc/self/maps", text, sizeof text);
  unsigned long s = 0, e = 0;
  for (char* l = strtok(text, "\n"); l; l = strtok(NULL, "\n"))
    if (strstr(l, "[vdso]")) sscanf(l, "%lx-%lx", &s, &e);
  // the vDSO and its data keep their distance
  read_file("/proc/self/maps", text, sizeof text);
  unsigned long vs[8], ve[8];
  int n = 0;
  for (char* l = strtok(text, "\n"); l; l = strtok(NULL, "\n"))
    if (strstr(l, "[vvar")) {
      sscanf(l, "%lx-%lx", &vs[n], &ve[n]);
      n++;
    }
  char* room = mmap(NULL, 64 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(room, 64 * PAGE);
  // raw system calls only until all parts are moved
  unsigned long first = n ? vs[0] : s;
  for (int i = 0; i < n; i++)
    if (vs[i] < first) first = vs[i];
  for (int i = 0; i < n; i++)
    if (mremap((void*)vs[i], ve[i] - vs[i], ve[i] - vs[i], MREMAP_MAYMOVE | MREMAP_FIXED, room + (vs[i] - first)) ==
        MAP_FAILED)
      victim_setup_failed("mremap vvar", __LINE__);
  if (mremap((void*)s, e - s, e - s, MREMAP_MAYMOVE | MREMAP_FIXED, room + (s - first)) == MAP_FAILED)
    victim_setup_failed("mremap", __LINE__);
  // glibc still has the old address: only raw calls from here on, so compare by hand
  struct timespec t;
  int fails = 0;
  victim_say("ready\n");
  while (syscall(SYS_access, victim_go, F_OK) != 0) {
    struct timespec nap = {0, 5000000};
    syscall(SYS_nanosleep, &nap, NULL);
    if (syscall(SYS_clock_gettime, 1, &t)) fails++;
  }
  CHECK(memcmp(room + (s - first), "\177ELF", 4) == 0, "no ELF there");
  return victim_end();
}
