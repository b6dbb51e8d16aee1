// Character devices: null, zero, full, random, urandom, and devices that create other objects.
#include "tests/victims/victim.h"

#include <sys/ioctl.h>
#include <sys/sysmacros.h>

int main(int argc, char** argv) {
  victim_start(argc, argv);
  int null = MUST(open("/dev/null", O_RDWR | O_CLOEXEC)), zero = MUST(open("/dev/zero", O_RDONLY));
  int full = MUST(open("/dev/full", O_WRONLY | O_APPEND)), random = MUST(open("/dev/random", O_RDONLY));
  int urandom = MUST(open("/dev/urandom", O_RDONLY | O_NONBLOCK));
  int control = open("/dev/loop-control", O_RDWR), hwrng = open("/dev/hwrng", O_RDONLY | O_NONBLOCK);
  char* mapped = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0);
  MUST((long)mapped);
  fill(mapped, PAGE, 3);
  victim_wait();
  char got[64];
  CHECK_EQ(write(null, "x", 1), 1, "write to null");
  CHECK_EQ(read(null, got, 1), 0, "read of null");
  memset(got, 1, sizeof got);
  CHECK(read(zero, got, 64) == 64 && got[0] == 0 && got[63] == 0, "zero");
  CHECK(write(full, "x", 1) == -1 && errno == ENOSPC, "full");
  CHECK_EQ(read(random, got, 16), 16, "random");
  CHECK_EQ(read(urandom, got, 64), 64, "urandom");
  struct stat about;
  if (control >= 0) CHECK(ioctl(control, 0x4c82 /* LOOP_CTL_GET_FREE */) >= 0, "loop-control: %s", strerror(errno));
  if (hwrng >= 0) CHECK(fstat(hwrng, &about) == 0 && about.st_rdev == makedev(10, 183), "hwrng");
  check_fill(mapped, PAGE, 3, "mapping of zero");
  check_zero(mapped + PAGE, 3 * PAGE, "rest of the mapping of zero");
  return victim_end();
}
