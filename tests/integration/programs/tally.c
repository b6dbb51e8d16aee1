// tally OUTPUT STOP-FILE MEBIBYTES: appends the next number to OUTPUT every 20 ms, until the stop file exists; then it
// appends "end" if its memory is as it was filled. Numbers that are missing or repeated show that it was lost, or ran
// twice.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  int output = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0644);
  size_t words = (size_t)atoi(argv[3]) * (1 << 20) / sizeof(unsigned);
  unsigned* memory = malloc(words * sizeof(unsigned));
  if (output < 0 || memory == NULL) return 2;
  for (size_t at = 0; at < words; at++) memory[at] = (unsigned)at * 2654435761u;
  for (long number = 0; access(argv[2], F_OK) != 0; number++) {
    dprintf(output, "%ld\n", number);
    nanosleep(&(struct timespec){0, 20000000}, NULL);
  }
  for (size_t at = 0; at < words; at++) {
    if (memory[at] != (unsigned)at * 2654435761u) return 1;
  }
  dprintf(output, "end\n");
  return 0;
}
