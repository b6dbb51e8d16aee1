// Names with odd bytes: of open and mapped files, of their directory, which is renamed meanwhile, and of the process.
#include "tests/victims/victim.h"

static const char* const names[] = {
    "with space", "new\nline", "back\\012slash",       "file (deleted)", "tab\t",   "\xff\xfe no text",
    "quote\"'",   "[heap]",    "anon_inode:[eventfd]", " before",        "behind ", "#1234"};
enum { kNames = sizeof names / sizeof *names };

int main(int argc, char** argv) {
  victim_start(argc, argv);
  static char before[4300], folder[4300];
  snprintf(before, sizeof before, "%s", own_path("before"));
  snprintf(folder, sizeof folder, "%s", own_path("\xfe\n (deleted)"));
  MUST(mkdir(before, 0755));
  MUST(chdir(before));
  int files[kNames];
  char *readable[kNames], *writable[kNames];
  for (int i = 0; i < kNames; i++) {
    files[i] = MUST(open(names[i], O_RDWR | O_CREAT | O_EXCL, 0644));
    MUST(write(files[i], names[i], strlen(names[i])));
    readable[i] = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, files[i], 0);
    writable[i] = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, files[i], 0);
    MUST((long)readable[i]);
    MUST((long)writable[i]);
  }
  MUST(rename(before, folder));
  MUST(prctl(PR_SET_NAME, "\xff) R 1\n"));

  victim_wait();

  char now[4300] = "";
  CHECK(getcwd(now, sizeof now) != NULL && strcmp(now, folder) == 0, "working directory %s", now);
  prctl(PR_GET_NAME, now);
  CHECK(strcmp(now, "\xff) R 1\n") == 0, "name %s", now);
  for (int i = 0; i < kNames; i++) {
    struct stat open_one, named;
    CHECK(fstat(files[i], &open_one) == 0 && stat(names[i], &named) == 0 && open_one.st_ino == named.st_ino,
          "file %d is another", i);
    CHECK(memcmp(readable[i], names[i], strlen(names[i])) == 0, "mapping of file %d", i);
    writable[i][0] = 'X';
    CHECK(pread(files[i], now, 1, 0) == 1 && now[0] == 'X', "file %d is not what is mapped", i);
  }
  return victim_end();
}
