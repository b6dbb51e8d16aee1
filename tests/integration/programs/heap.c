// heap MEGABYTES CONTROL [NTH]: changes parts of a heap on request, and can check at any time that every page has the
// right content.
//   Each time the file CONTROL.N appears (N = 1, 2, ...), 1 page in NTH (50) is written, some are dropped, and "round N
//   DIGEST" is printed.
//   CONTROL.check prints "DIGEST" over all pages. CONTROL.end ends the program.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t digest(const unsigned char* from, size_t bytes) {
  uint64_t sum = 1469598103934665603u;
  const uint64_t* words = (const uint64_t*)from;
  for (size_t i = 0; i < bytes / 8; i++) sum = (sum ^ words[i]) * 1099511628211u;
  return sum;
}

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) return 2;
  size_t nth = argc > 3 ? (size_t)atol(argv[3]) : 50;
  size_t bytes = (size_t)atol(argv[1]) << 20, pages = bytes / 4096;
  unsigned char* heap = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (heap == MAP_FAILED) return 1;
  for (size_t page = 0; page < pages; page++)
    for (size_t i = 0; i < 4096; i += 8) *(uint64_t*)(heap + page * 4096 + i) = page * 4096 + i;
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("ready %016lx\n", digest(heap, bytes));
  char path[4096];
  uint64_t random = 88172645463325252u;
  for (int round = 1;;) {
    snprintf(path, sizeof path, "%s.end", argv[2]);
    if (access(path, F_OK) == 0) break;
    snprintf(path, sizeof path, "%s.check", argv[2]);
    if (access(path, F_OK) == 0 && unlink(path) == 0) printf("check %016lx\n", digest(heap, bytes));
    snprintf(path, sizeof path, "%s.%d", argv[2], round);
    if (access(path, F_OK) == 0) {
      for (size_t i = 0; i < pages / nth + 1; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        unsigned char* page = heap + random % pages * 4096;
        if (random >> 60 == 0)
          madvise(page, 4096, MADV_DONTNEED);
        else
          *(uint64_t*)(page + (random >> 20) % 512 * 8) = random;
      }
      printf("round %d %016lx\n", round++, digest(heap, bytes));
    }
    usleep(2000);
  }
  printf("end %016lx\n", digest(heap, bytes));
  return 7;
}
