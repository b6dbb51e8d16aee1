// writer GO-FILE MIB RATE-MB: a process of MIB MiB that writes RATE MB/s at random places of it until the go file
// exists. Every page has its number, a counter and a checksum of both, so an old, torn or misplaced page is detected. A
// copy of all counters lies in other memory.
#include "../../victims/victim.h"

struct page {
  uint64_t number, counter, words[509], sum;
};

static uint64_t checksum(const struct page* page) {
  uint64_t sum = page->number * 31 + page->counter * 1000003;
  for (int i = 0; i < 509; i++) sum = (sum ^ page->words[i]) * 0x100000001b3;
  return sum;
}
static void update(struct page* page, uint64_t number, uint64_t counter) {
  page->number = number;
  page->counter = counter;
  for (uint64_t i = 0; i < 509; i++) page->words[i] = pattern(number ^ counter << 32, i);
  page->sum = checksum(page);
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  uint64_t pages = strtoull(argv[2], NULL, 10) * 256, rate = strtoull(argv[3], NULL, 10) * 1000000 / PAGE;
  struct page* all = map_anon(pages * PAGE);
  uint32_t* mirror = map_anon(pages * sizeof *mirror);
  for (uint64_t i = 0; i < pages; i++) update(&all[i], i, 0);
  victim_say("ready\n");
  uint64_t written = 0, seed = 1;
  int64_t start = clock_ns(CLOCK_MONOTONIC);
  while (access(victim_go, F_OK) != 0) {
    // In slices of 5 ms, so that the rate is constant over any time; the time of a stop is not made up for.
    int64_t due = (clock_ns(CLOCK_MONOTONIC) - start) * (int64_t)rate / 1000000000;
    if (due - (int64_t)written > (int64_t)rate / 20) {
      start = clock_ns(CLOCK_MONOTONIC) - (int64_t)(written * 1000000000 / rate);
      continue;
    }
    for (; (int64_t)written < due; written++) {
      uint64_t i = pattern(seed, written) % pages;
      CHECK(all[i].counter == mirror[i] && all[i].number == i && all[i].sum == checksum(&all[i]),
            "page %llu is damaged", (unsigned long long)i);
      if (victim_failures > 20) return victim_end();
      update(&all[i], i, ++mirror[i]);
    }
    struct timespec step = {0, 5000000};
    nanosleep(&step, NULL);
  }
  for (uint64_t i = 0; i < pages && victim_failures < 20; i++)
    CHECK(all[i].counter == mirror[i] && all[i].number == i && all[i].sum == checksum(&all[i]),
          "page %llu of %llu: number %llu, counter %llu, not %u", (unsigned long long)i, (unsigned long long)pages,
          (unsigned long long)all[i].number, (unsigned long long)all[i].counter, mirror[i]);
  char text[100];
  snprintf(text, sizeof text, "written %llu\n", (unsigned long long)written);
  victim_say(text);
  return victim_end();
}
