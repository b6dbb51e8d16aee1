// The program has unmapped its vDSO and makes all its system calls itself.
#include "tests/victims/victim.h"

static bool is_kernels(const char* line) {
  return strstr(line, "[vdso]") || strstr(line, "[vvar");
}

// The C library would call through the vDSO: code between here and the end of the program may not read a clock.
int main(int argc, char** argv) {
  victim_start(argc, argv);
  victim_loose_maps = true;
  static char text[65536];
  read_file("/proc/self/maps", text, sizeof text);
  unsigned long start[8], end[8];
  int count = 0;
  for (char* line = strtok(text, "\n"); line && count < 8; line = strtok(NULL, "\n"))
    if (is_kernels(line) && sscanf(line, "%lx-%lx", &start[count], &end[count]) == 2) count++;
  if (count == 0) victim_setup_failed("there is no vDSO", __LINE__);
  for (int i = 0; i < count; i++) MUST((int)syscall(SYS_munmap, start[i], end[i] - start[i]));
  int fd = MUST((int)syscall(SYS_memfd_create, "here", 0));

  victim_say("ready\n");
  struct timespec nap = {0, 2000000};
  while (syscall(SYS_access, victim_go, F_OK) != 0) syscall(SYS_nanosleep, &nap, NULL);

  CHECK_EQ(syscall(SYS_write, fd, "x", 1), 1, "a write");
  read_file("/proc/self/maps", text, sizeof text);
  for (char* line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
    if (is_kernels(line)) victim_fail("%s has come back", line);
  return victim_end();
}
