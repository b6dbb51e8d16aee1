// A private mapping whose file changes: written pages are the program's, the others follow the file.
#include "tests/victims/victim.h"

int main(int argc, char** argv) {
  victim_start(argc, argv);
  const char* path = own_path("f");
  int fd = MUST(open(path, O_RDWR | O_CREAT, 0600));
  MUST(ftruncate(fd, 64 * PAGE));
  char* p = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  for (int i = 0; i < 64; i += 2) p[i * PAGE] = 'm';
  for (int i = 0; i < 64; i++) MUST(pwrite(fd, "F", 1, i * PAGE));
  for (int i = 0; i < 32; i++) (void)*(volatile char*)(p + i * PAGE);
  MUST(madvise(p, PAGE, MADV_DONTNEED));

  victim_wait();

  for (int i = 0; i < 64; i++) CHECK_EQ(p[i * PAGE], i % 2 || i == 0 ? 'F' : 'm', "page");
  for (int i = 0; i < 64; i++) MUST(pwrite(fd, "G", 1, i * PAGE));
  for (int i = 0; i < 64; i++) CHECK_EQ(p[i * PAGE], i % 2 || i == 0 ? 'G' : 'm', "page after");
  unlink(path);
  return victim_end();
}
