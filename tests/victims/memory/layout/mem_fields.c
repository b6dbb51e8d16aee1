// The fields of the address space: code, data, stack, arguments, environment, auxv, exe link, command line.
#include "tests/victims/victim.h"

#include <sys/auxv.h>

static void fields(char* to, size_t room) {
  static char stat[4096];
  read_file("/proc/self/stat", stat, sizeof stat);
  char* rest = strrchr(stat, ')') + 2;
  size_t used = 0;
  int field = 3;
  to[0] = 0;
  for (char *save, *word = strtok_r(rest, " \n", &save); word; word = strtok_r(NULL, " \n", &save), field++) {
    // startcode, endcode, startstack, start_data ... env_end; and session, group, tty
    if ((field >= 26 && field <= 28) || (field >= 45 && field <= 51) || (field >= 5 && field <= 8))
      used += (size_t)snprintf(to + used, room - used, "field %d %s\n", field, word);
  }
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  static char before[4096], after[4096], auxv[2][4096], args[2][4096], env[2][8192], exe[2][4096];
  fields(before, sizeof before);
  size_t auxv_size = read_file("/proc/self/auxv", auxv[0], 4096);
  size_t args_size = read_file("/proc/self/cmdline", args[0], 4096);
  size_t env_size = read_file("/proc/self/environ", env[0], 8192);
  MUST(readlink("/proc/self/exe", exe[0], 4095));

  victim_wait();

  fields(after, sizeof after);
  compare_text("/proc/self/stat", before, after);
  CHECK(read_file("/proc/self/auxv", auxv[1], 4096) == auxv_size && memcmp(auxv[0], auxv[1], auxv_size) == 0, "auxv");
  CHECK(read_file("/proc/self/cmdline", args[1], 4096) == args_size && memcmp(args[0], args[1], args_size) == 0,
        "cmdline");
  CHECK(read_file("/proc/self/environ", env[1], 8192) == env_size && memcmp(env[0], env[1], env_size) == 0, "environ");
  MUST(readlink("/proc/self/exe", exe[1], 4095));
  CHECK(strcmp(exe[0], exe[1]) == 0, "exe is %s, not %s", exe[1], exe[0]);
  return victim_end();
}
