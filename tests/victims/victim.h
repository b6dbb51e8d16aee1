// The common part of all victims. A victim sets something up, calls victim_wait() (which prints "ready" and returns
// when the file argv[1] exists: the test makes it when all moves are done), checks itself, and ends with victim_end():
// it prints "PASS", or one line "FAIL: ..." for each difference. While a victim waits it also watches the clocks, and
// it compares its maps, descriptors and /proc/self/status before and after. stdout must be a regular file.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))
#define PAGE 4096UL

static char victim_go[4096];           // the file that ends the wait; a victim that changes its root rewrites it
static bool victim_loose_maps UNUSED;  // the victim changes its own mappings while it waits
static bool victim_loose_status UNUSED;
static _Atomic int victim_failures;

// For calls that the victim's setup needs: if one fails the test fails, with another word than FAIL.
#define MUST(expression)                                                     \
  ({                                                                         \
    __typeof__(expression) must_result = (expression);                       \
    if ((long)must_result == -1) victim_setup_failed(#expression, __LINE__); \
    must_result;                                                             \
  })
#define CHECK(condition, ...)                   \
  do {                                          \
    if (!(condition)) victim_fail(__VA_ARGS__); \
  } while (0)
#define CHECK_EQ(got, want, what)                                                                                     \
  do {                                                                                                                \
    long long check_got = (long long)(got), check_want = (long long)(want);                                           \
    if (check_got != check_want)                                                                                      \
      victim_fail("%s: %lld (0x%llx), not %lld (0x%llx)", what, check_got, (unsigned long long)check_got, check_want, \
                  (unsigned long long)check_want);                                                                    \
  } while (0)

UNUSED static void victim_say(const char* text) {
  size_t length = strlen(text);
  if (write(1, text, length) != (ssize_t)length) _exit(3);
}

UNUSED static void victim_setup_failed(const char* what, int line) {
  char text[512];
  snprintf(text, sizeof text, "SETUP: line %d: %s: %s\n", line, what, strerror(errno));
  victim_say(text);
  _exit(2);
}

__attribute__((format(printf, 1, 2))) UNUSED static void victim_fail(const char* format, ...) {
  char text[1024] = "FAIL: ";
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text + 6, sizeof text - 8, format, arguments);
  va_end(arguments);
  strcat(text, "\n");
  victim_say(text);
  victim_failures++;
}

UNUSED static int64_t clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

// ---- patterns in memory

UNUSED static uint64_t pattern(uint64_t seed, uint64_t index) {
  uint64_t x = seed * 0x9e3779b97f4a7c15ULL + index * 0xbf58476d1ce4e5b9ULL + 1;
  x ^= x >> 30;
  x *= 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

UNUSED static void fill(void* at, size_t length, uint64_t seed) {
  uint64_t* words = at;
  for (size_t i = 0; i < length / 8; i++) words[i] = pattern(seed, i);
}

UNUSED static void check_fill(const void* at, size_t length, uint64_t seed, const char* what) {
  const uint64_t* words = at;
  for (size_t i = 0; i < length / 8; i++)
    if (words[i] != pattern(seed, i)) {
      victim_fail("%s: word %zu of %zu is %llx, not %llx", what, i, length / 8, (unsigned long long)words[i],
                  (unsigned long long)pattern(seed, i));
      return;
    }
}

UNUSED static void check_zero(const void* at, size_t length, const char* what) {
  const uint64_t* words = at;
  for (size_t i = 0; i < length / 8; i++)
    if (words[i] != 0) {
      victim_fail("%s: word %zu of %zu is %llx, not 0", what, i, length / 8, (unsigned long long)words[i]);
      return;
    }
}

UNUSED static void* map_anon(size_t length) {
  void* at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) victim_setup_failed("mmap", __LINE__);
  return at;
}

// ---- files of /proc

UNUSED static size_t read_file(const char* path, char* to, size_t room) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  size_t have = 0;
  if (fd >= 0) {
    ssize_t got;
    while (have + 1 < room && (got = read(fd, to + have, room - 1 - have)) > 0) have += (size_t)got;
    close(fd);
  }
  to[have] = 0;
  return have;
}

// Returns a path beside the go file, for files of this victim's own.
UNUSED static const char* own_path(const char* suffix) {
  static char path[4200];
  snprintf(path, sizeof path, "%s.%s", victim_go, suffix);
  return path;
}

// Returns the VmFlags of the mapping that holds `at` in /proc/self/smaps, "" if there is none.
UNUSED static void vm_flags(const void* at, char* to, size_t room) {
  static char text[1 << 20];
  to[0] = 0;
  read_file("/proc/self/smaps", text, sizeof text);
  bool mine = false;
  for (char* line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
    unsigned long start, end;
    if (sscanf(line, "%lx-%lx ", &start, &end) == 2) mine = (uintptr_t)at >= start && (uintptr_t)at < end;
    if (mine && strncmp(line, "VmFlags:", 8) == 0) {
      snprintf(to, room, "%s", line + 9);
      return;
    }
  }
}

UNUSED static bool has_flag(const void* at, const char* flag) {
  char flags[256];
  vm_flags(at, flags, sizeof flags);
  return strstr(flags, flag) != NULL;
}

// ---- before and after

struct victim_snapshot {
  char maps[1 << 18];
  char status[1 << 13];
  char fds[1 << 16];
};

// Neighbours that differ only in whether their memory is charged to the commit limit (a read-only page that was
// writable once) count as one.
UNUSED static void snapshot_maps(char* to, size_t room) {
  static char text[1 << 19];
  size_t used = 0;
  unsigned long first = 0, last = 0, first_offset = 0;
  char kind[600] = "";
  to[0] = 0;
  read_file("/proc/self/maps", text, sizeof text);
  char *save, *line = strtok_r(text, "\n", &save);
  for (;;) {
    unsigned long start = 0, end = 0, offset = 0;
    char perms[8] = "", path[512] = "", now[600];
    if (line != NULL) sscanf(line, "%lx-%lx %7s %lx %*s %*s %511[^\n]", &start, &end, perms, &offset, path);
    snprintf(now, sizeof now, "%s %s", perms, path);
    bool file = path[0] == '/';
    if (line != NULL && start == last && strcmp(kind, now) == 0 && (!file || offset == first_offset + (last - first))) {
      last = end;
    } else {
      if (last != 0) {
        int wrote = snprintf(to + used, room - used, "%lx-%lx %lx %s\n", first, last, first_offset, kind);
        if (wrote < 0 || used + (size_t)wrote >= room) return;
        used += (size_t)wrote;
      }
      if (line == NULL) return;
      first = start, last = end, first_offset = offset;
      memcpy(kind, now, sizeof kind);
    }
    line = strtok_r(NULL, "\n", &save);
  }
}

UNUSED static void snapshot_status(char* to, size_t room) {
  static const char* const kept[] = {
      "Name:",   "Umask:",      "Tgid:",    "Pid:",          "TracerPid:",    "Uid:",         "Gid:",        "Groups:",
      "NStgid:", "NSpid:",      "Threads:", "SigPnd:",       "ShdPnd:",       "SigBlk:",      "SigIgn:",     "SigCgt:",
      "Cap",     "NoNewPrivs:", "Seccomp",  "Cpus_allowed:", "Mems_allowed:", "THP_enabled:", "CoreDumping:"};
  static char text[1 << 13];
  size_t used = 0;
  to[0] = 0;
  read_file("/proc/self/status", text, sizeof text);
  for (char *save, *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
      if (strncmp(line, kept[i], strlen(kept[i])) == 0) {
        int wrote = snprintf(to + used, room - used, "%s\n", line);
        if (wrote < 0 || used + (size_t)wrote >= room) return;
        used += (size_t)wrote;
      }
}

UNUSED static void snapshot_fds(char* to, size_t room) {
  size_t used = 0;
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  to[0] = 0;
  if (limit.rlim_cur > 70000) limit.rlim_cur = 70000;
  for (int fd = 0; fd < (int)limit.rlim_cur; fd++) {
    int flags = fcntl(fd, F_GETFD);
    if (flags < 0) continue;
    unsigned status = (unsigned)fcntl(fd, F_GETFL) & ~(unsigned)O_CLOEXEC;
    if ((status & O_TMPFILE) == O_TMPFILE) status &= ~(unsigned)O_TMPFILE;  // the flag says how the file was made
    struct stat about;
    memset(&about, 0, sizeof about);
    fstat(fd, &about);
    int wrote =
        snprintf(to + used, room - used, "fd %d cloexec %d status %o type %o\n", fd, flags, status, about.st_mode);
    if (wrote < 0 || used + (size_t)wrote >= room) return;
    used += (size_t)wrote;
  }
}

UNUSED static void compare_text(const char* what, const char* before, const char* after) {
  int shown = 0;
  while (*before != 0 || *after != 0) {
    size_t one = strcspn(before, "\n"), two = strcspn(after, "\n");
    if (one == two && memcmp(before, after, one) == 0) {
      before += one + (before[one] != 0);
      after += two + (after[two] != 0);
      continue;
    }
    // The side with a line that the other lacks (further on) is at fault.
    char line[700];
    snprintf(line, sizeof line, "%.*s\n", (int)(one < 600 ? one : 600), before);
    bool later = one != 0 && strstr(after, line) != NULL;
    if (shown++ < 8) {
      if (later || one == 0)
        victim_fail("%s: new: %.*s", what, (int)two, after);
      else
        victim_fail("%s: missing: %.*s", what, (int)one, before);
    }
    if (later || one == 0)
      after += two + (after[two] != 0);
    else
      before += one + (before[one] != 0);
  }
}

UNUSED static struct victim_snapshot* victim_take(void) {
  // The buffers have constant size and are mapped before anything is read, so that taking a snapshot twice changes
  // nothing.
  static struct victim_snapshot both[2];
  static int next;
  struct victim_snapshot* mine = &both[next++ & 1];
  memset(mine, 0, sizeof *mine);
  if (!victim_loose_maps) snapshot_maps(mine->maps, sizeof mine->maps);
  if (!victim_loose_status) snapshot_status(mine->status, sizeof mine->status);
  snapshot_fds(mine->fds, sizeof mine->fds);
  return mine;
}

UNUSED static void victim_start(int argc, char** argv) {
  if (argc < 2) {
    victim_say("usage: VICTIM GO-FILE\n");
    _exit(2);
  }
  snprintf(victim_go, sizeof victim_go, "%s", argv[1]);
}

// Waits, and watches the clocks meanwhile.
UNUSED static void victim_pause(void) {
  static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME};
  int64_t last[4];
  for (int i = 0; i < 4; i++) last[i] = clock_ns(clocks[i]);
  while (access(victim_go, F_OK) != 0) {
    struct timespec step = {0, 5000000};
    int64_t before = clock_ns(CLOCK_MONOTONIC);
    if (nanosleep(&step, NULL) != 0) CHECK(false, "nanosleep: %s", strerror(errno));
    int64_t slept = clock_ns(CLOCK_MONOTONIC) - before;
    CHECK(slept >= 5000000, "nanosleep of 5 ms took only %lld ns", (long long)slept);
    for (int i = 0; i < 4; i++) {
      int64_t now = clock_ns(clocks[i]);
      CHECK(now >= last[i], "clock %d went back by %lld ns", clocks[i], (long long)(last[i] - now));
      CHECK(now - last[i] < 60000000000LL, "clock %d jumped by %lld ns", clocks[i], (long long)(now - last[i]));
      last[i] = now;
    }
  }
}

UNUSED static void victim_wait(void) {
  victim_take();
  struct victim_snapshot* before = victim_take();
  victim_say("ready\n");
  victim_pause();
  struct victim_snapshot* after = victim_take();
  compare_text("maps", before->maps, after->maps);
  compare_text("status", before->status, after->status);
  compare_text("descriptors", before->fds, after->fds);
}

UNUSED static int victim_end(void) {
  if (victim_failures == 0) victim_say("PASS\n");
  return victim_failures == 0 ? 0 : 1;
}

// ---- threads

UNUSED static pthread_t start_thread(void* (*body)(void*), void* argument) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, body, argument) != 0) victim_setup_failed("pthread_create", __LINE__);
  return thread;
}

// Returns when `*flag` is no longer `old`, and never blocks in the kernel for long.
UNUSED static void wait_change(_Atomic int* flag, int old) {
  while (atomic_load(flag) == old) {
    struct timespec step = {0, 1000000};
    nanosleep(&step, NULL);
  }
}
