// herd MEGABYTES CONTROL: heap.c for a tree. A parent and its children, each with a heap of its own, a mapping that all
// share, and a memfd that is written by pwrite(2) and never mapped. Every round forks one more child. CONTROL.N,
// CONTROL.check and CONTROL.end work as for heap; the digests are over all memory of all processes.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kMost = 16 };

static size_t bytes, pages;
static unsigned char *heap, *shared;
static int memfd;
static uint64_t seed = 88172645463325252u;

static uint64_t next_random(void) {
  seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
  return seed;
}

static uint64_t digest(uint64_t sum, const unsigned char* from, size_t size) {
  const uint64_t* words = (const uint64_t*)from;
  for (size_t i = 0; i < size / 8; i++) sum = (sum ^ words[i]) * 1099511628211u;
  return sum;
}

static void fill(unsigned char* at, uint64_t salt) {
  for (size_t i = 0; i < bytes; i += 8) *(uint64_t*)(at + i) = i * 3 + salt;
}

static void change(unsigned char* at) {
  for (size_t i = 0; i < pages / 50 + 1; i++) {
    const uint64_t random = next_random();
    *(uint64_t*)(at + random % pages * 4096 + (random >> 20) % 512 * 8) = random;
  }
}

struct child {
  int to, from;
};

// A child: changes its heap, or sends its digest, on request; ends when its parent's pipe is closed.
static void live(int commands, int answers, int number) {
  seed += (uint64_t)number;
  fill(heap, (uint64_t)number * 1000003);
  for (char what; read(commands, &what, 1) == 1;) {
    uint64_t sum = 0;
    if (what == 'c') change(heap);
    if (what == 'c') *(uint64_t*)(shared + (size_t)number * 4096) = next_random();
    if (what == 'd') sum = digest((uint64_t)number, heap, bytes);
    if (write(answers, &sum, sizeof sum) != sizeof sum) break;
  }
  _exit(0);
}

static struct child spawn(int number) {
  int commands[2], answers[2];
  if (pipe(commands) != 0 || pipe(answers) != 0) exit(1);
  fflush(stdout);
  const pid_t pid = fork();
  if (pid < 0) exit(1);
  if (pid == 0) {
    close(commands[1]), close(answers[0]);
    live(commands[0], answers[1], number);
  }
  close(commands[0]), close(answers[1]);
  return (struct child){commands[1], answers[0]};
}

static uint64_t ask(struct child child, char what) {
  uint64_t sum = 0;
  if (write(child.to, &what, 1) != 1 || read(child.from, &sum, sizeof sum) != sizeof sum) exit(3);
  return sum;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  bytes = (size_t)atol(argv[1]) << 20, pages = bytes / 4096;
  heap = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  memfd = memfd_create("herd", 0);
  if (heap == MAP_FAILED || shared == MAP_FAILED || memfd < 0) return 1;
  fill(heap, 1), fill(shared, 2);
  if (write(memfd, shared, bytes) != (ssize_t)bytes) return 1;
  setvbuf(stdout, NULL, _IOLBF, 0);
  struct child children[kMost];
  int count = 0;
  for (; count < 2; count++) children[count] = spawn(count + 1);
  char path[4096];
  for (int round = 0;;) {
    snprintf(path, sizeof path, "%s.end", argv[2]);
    if (access(path, F_OK) == 0) return 7;
    int told = round == 0;
    snprintf(path, sizeof path, "%s.%d", argv[2], round);
    if (round > 0 && access(path, F_OK) == 0) {
      told = 1;
      change(heap), change(shared);
      for (int i = 0; i < 3; i++) {
        const uint64_t random = next_random();
        if (pwrite(memfd, &random, 8, (off_t)(random % pages * 4096)) != 8) return 1;
      }
      for (int i = 0; i < count; i++) ask(children[i], 'c');
      if (count < kMost) children[count] = spawn(count + 1), count++;
    }
    snprintf(path, sizeof path, "%s.check", argv[2]);
    const int check = access(path, F_OK) == 0 && unlink(path) == 0;
    if (told || check) {
      unsigned char* copy = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (copy == MAP_FAILED || pread(memfd, copy, bytes, 0) != (ssize_t)bytes) return 1;
      uint64_t sum = digest(digest(digest(0, heap, bytes), shared, bytes), copy, bytes);
      munmap(copy, bytes);
      for (int i = 0; i < count; i++) sum = sum * 31 + ask(children[i], 'd');
      if (check)
        printf("check %016lx\n", sum);
      else if (round == 0)
        printf("ready %016lx\n", sum);
      else
        printf("round %d %016lx\n", round, sum);
      if (told) round++;
    }
    usleep(2000);
  }
}
