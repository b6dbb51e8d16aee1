// Processes that share objects which their parent does not have: cloned by a sibling (CLONE_PARENT), or by a parent
// that left the object later (unshare(2)). Afterwards they share the same objects and no others.
#include "tests/victims/process/tree/tree.h"

enum { kStack = 64 * 1024, kMembers = 13, kFirstFd = 100 };

// Groups: members with the same letter share the object; '.' shares it with no other. The first member is the root.
//                            root   cloned, root left | cloner | cloner, memory | g left | cousins, whose parents left
static const char names[] =
    "P"
    "ab"
    "cd"
    "ef"
    "gh"
    "ijkl";
static const char files[] =
    "1"
    "22"
    "33"
    ".."
    ".1"
    "....";
static const char folders[] =
    "."
    "11"
    ".."
    ".."
    ".."
    ".2.2";
static const char spaces[] =
    "."
    ".."
    ".."
    "11"
    ".."
    "....";

static struct member {
  _Atomic int pid,
      step;  // 1: ready; 2: must make its changes; 3: has made them; 4: must look; 5: has looked; 6: may end
  uint32_t files, spaces;
  int mask;
} * members;          // in shared memory
static char* memory;  // in private memory

static struct member* member(char name) {
  return &members[strchr(names, name) - names];
}

static void change(struct member* me) {
  long index = me - members;
  memory[index] = 'c';
  raw(SYS_dup2, 1, kFirstFd + index, 0, 0);
  raw(SYS_umask, 0100 + index, 0, 0, 0);
}

static void look(struct member* me) {
  for (int i = 0; i < kMembers; i++) {
    if (raw(SYS_fcntl, kFirstFd + i, F_GETFD, 0, 0) >= 0) me->files |= 1u << i;
    if (memory[i] == 'c') me->spaces |= 1u << i;
  }
  me->mask = (int)raw(SYS_umask, 0, 0, 0, 0);
  raw(SYS_umask, me->mask, 0, 0, 0);
}

static int live(void* argument) {
  struct member* me = argument;
  me->pid = (int)raw(SYS_getpid, 0, 0, 0, 0);
  me->step = 1;
  while (me->step != 2) pause_ms(1);
  change(me);
  me->step = 3;
  while (me->step != 4) pause_ms(1);
  look(me);
  me->step = 5;
  while (me->step != 6) pause_ms(1);
  raw(SYS_exit_group, 0, 0, 0, 0);
  return 0;
}

static void await(char name, int step) {
  while (member(name)->step != step) pause_ms(1);
}

static void make(char name, int flags) {
  char* stack = map_anon(kStack);
  MUST(clone(live, stack + kStack, flags, member(name)));
  await(name, 1);
}

// A child of the root that clones another process by `flags`, and then leaves `left` (unshare).
struct cloner {
  char name, other;
  int flags, left;
};

static int make_and_live(void* argument) {
  struct cloner* cloner = argument;
  make(cloner->other, cloner->flags);
  if (cloner->left != 0) MUST(unshare(cloner->left));
  return live(member(cloner->name));
}

static void make_cloner(struct cloner cloner, int flags) {
  char* stack = map_anon(kStack);
  MUST(clone(make_and_live, stack + kStack, flags | SIGCHLD, &cloner));
  await(cloner.name, 1);
}

static void all(int step) {
  for (int i = 1; i < kMembers; i++) {
    members[i].step = step;
    while (step != 6 && members[i].step != step + 1) pause_ms(1);
  }
}

static uint32_t group(const char* groups, int of) {
  uint32_t found = 1u << of;
  for (int i = 0; i < kMembers; i++) {
    if (groups[of] != '.' && groups[i] == groups[of]) found |= 1u << i;
  }
  return found;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  victim_loose_status = true;
  memory = map_anon(PAGE);
  members = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  make('a', CLONE_FILES | CLONE_FS | SIGCHLD);
  make('b', CLONE_FILES | CLONE_FS | SIGCHLD);
  MUST(unshare(CLONE_FILES | CLONE_FS));
  make_cloner((struct cloner){'c', 'd', CLONE_PARENT | CLONE_FILES, 0}, 0);
  make_cloner((struct cloner){'e', 'f', CLONE_PARENT | CLONE_VM | CLONE_SIGHAND, 0}, 0);
  make_cloner((struct cloner){'g', 'h', CLONE_FILES | SIGCHLD, CLONE_FILES}, CLONE_FILES);
  make_cloner((struct cloner){'i', 'j', CLONE_FS | SIGCHLD, CLONE_FS}, CLONE_FS);
  make_cloner((struct cloner){'k', 'l', CLONE_FS | SIGCHLD, CLONE_FS}, CLONE_FS);
  MUST(unshare(CLONE_FS));
  victim_wait();
  change(&members[0]);
  all(2);
  look(&members[0]);
  all(4);
  for (int i = 0; i < kMembers; i++) {
    char what[32];
    snprintf(what, sizeof what, "descriptors of %c", names[i]);
    CHECK_EQ(members[i].files, group(files, i), what);
    snprintf(what, sizeof what, "memory of %c", names[i]);
    CHECK_EQ(members[i].spaces, group(spaces, i), what);
    // All who share the umask have set it; the last one counts.
    snprintf(what, sizeof what, "umask of %c", names[i]);
    CHECK_EQ(members[i].mask, 0100 + 31 - __builtin_clz(group(folders, i)), what);
  }
  all(6);
  int status = 0;
  while (waitpid(-1, &status, __WALL) > 0) CHECK_EQ(status, 0, "a child's end");
  return victim_end();
}
