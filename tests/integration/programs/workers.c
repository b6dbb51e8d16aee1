// workers GO-FILE MIB WORKERS [RATE]: a parent that fills MIB MiB and forks WORKERS processes that inherit them, each
// of which writes some pages of its own; the first one forks one more. With RATE every process writes this number of
// pages a second until the go file exists. Every page says which process wrote it last and how often, with a checksum;
// all are checked at the end.
#include "../../victims/process/tree/tree.h"

enum { kWords = 512, kOwn = 32, kParent = 1000, kGrandchild = 60 };

static uint64_t pages, rate;
static uint64_t (*memory)[kWords];
static struct mark {
  uint32_t who, count;
} * marks;  // the content that this process should see: its own copy since it was forked

static void put(uint64_t page, uint64_t who, uint64_t count) {
  uint64_t seed = page * 131071 + who * 8191 + count;
  memory[page][0] = who;
  memory[page][1] = count;
  for (int i = 2; i < kWords; i++) memory[page][i] = pattern(seed, (uint64_t)i);
}

static bool is(uint64_t page, uint64_t who, uint64_t count) {
  uint64_t seed = page * 131071 + who * 8191 + count;
  if (memory[page][0] != who || memory[page][1] != count) return false;
  for (int i = 2; i < kWords; i++)
    if (memory[page][i] != pattern(seed, (uint64_t)i)) return false;
  return true;
}

static void write_page(uint64_t page, uint64_t me) {
  marks[page].who = (uint32_t)me;
  put(page, me, ++marks[page].count);
}

static void check(uint64_t me) {
  for (uint64_t p = 0; p < pages && victim_failures < 10; p++) {
    CHECK(is(p, marks[p].who, marks[p].count),
          "process %llu, page %llu: of %llu, written %llu times, not of %u, %u times", (unsigned long long)me,
          (unsigned long long)p, (unsigned long long)memory[p][0], (unsigned long long)memory[p][1], marks[p].who,
          marks[p].count);
  }
}

static void go_on(uint64_t me) {
  struct timespec nap = {0, 5000000};
  for (uint64_t turn = 0; access(victim_go, F_OK) != 0; nanosleep(&nap, NULL)) {
    for (uint64_t i = 0; i < (rate + 199) / 200; i++) {
      uint64_t page = pattern(me, turn++) % pages;
      // The parent writes more of its shared pages than its children do.
      if (me != kParent) page = page % 64 + me * 64 % pages;
      write_page(page, me);
    }
  }
}

static int work(void* argument) {
  uint64_t me = *(uint64_t*)argument;
  int ready = (int)(me >> 32);
  me &= 0xffff;
  for (uint64_t i = 0; i < kOwn; i++) {
    uint64_t page = (me * 7919 + i * 331) % pages;
    write_page(page, me);
  }
  pid_t own = me == 0 ? spawn(work, &(uint64_t){kGrandchild | (uint64_t)ready << 32}) : 0;
  if (write(ready, "r", 1) != 1) return 1;
  go_on(me);
  check(me);
  if (own != 0) expect_exit(own, 0, "a grandchild");
  return child_failures();
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  pages = strtoull(argv[2], NULL, 10) * 256;
  uint64_t workers = strtoull(argv[3], NULL, 10);
  uint64_t later = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
  memory = map_anon(pages * PAGE);
  marks = map_anon(pages * sizeof *marks);
  for (uint64_t p = 0; p < pages; p++) {
    marks[p].who = kParent;
    put(p, kParent, 0);
  }
  int ready[2];
  MUST(pipe(ready));
  pid_t children[64];
  for (uint64_t i = 0; i < workers; i++) {
    uint64_t what = i | (uint64_t)ready[1] << 32;
    rate = later;
    children[i] = spawn(work, &what);
  }
  for (uint64_t i = 0; i <= workers; i++) {
    char byte;
    MUST(read(ready[0], &byte, 1));
  }
  victim_say("ready\n");
  go_on(kParent);
  check(kParent);
  for (uint64_t i = 0; i < workers; i++) expect_exit(children[i], 0, "a worker");
  return victim_end();
}
