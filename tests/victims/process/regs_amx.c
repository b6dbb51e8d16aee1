// AMX tile registers; on a CPU without them, that they are still absent.
#include "tests/victims/victim.h"

#include <asm/prctl.h>
#ifndef ARCH_REQ_XCOMP_PERM
#define ARCH_GET_XCOMP_PERM 0x1022
#define ARCH_REQ_XCOMP_PERM 0x1023
#endif
enum { kTileData = 18 };

static struct {
  uint8_t palette, start_row, reserved[14];
  uint16_t bytes_per_row[16];
  uint8_t rows[16];
} __attribute__((packed)) configuration = {.palette = 1, .bytes_per_row = {64, 64}, .rows = {16, 16}};
static unsigned char in[2][1024], out[2][1024];

int main(int argc, char** argv) {
  victim_start(argc, argv);
  bool there = syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, kTileData) == 0;
  if (!there) {
    victim_wait();
    CHECK(syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, kTileData) == -1, "AMX appeared");
    return victim_end();
  }
  fill(in, sizeof in, 1);
  long stride = 64;
  __asm__ volatile(".byte 0xc4, 0xe2, 0x78, 0x49, 0x00\n\t"  // ldtilecfg (%rax)
                   ::"a"(&configuration)
                   : "memory");
  __asm__ volatile(".byte 0xc4, 0xe2, 0x7b, 0x4b, 0x04, 0x08\n\t"  // tileloadd (%rax,%rcx,1), %tmm0
                   ::"a"(in[0]),
                   "c"(stride)
                   : "memory");
  __asm__ volatile(".byte 0xc4, 0xe2, 0x7b, 0x4b, 0x0c, 0x08\n\t"  // tileloadd (%rax,%rcx,1), %tmm1
                   ::"a"(in[1]),
                   "c"(stride)
                   : "memory");
  victim_wait();
  __asm__ volatile(".byte 0xc4, 0xe2, 0x7a, 0x4b, 0x04, 0x08\n\t" ::"a"(out[0]), "c"(stride) : "memory");  // tilestored
  __asm__ volatile(".byte 0xc4, 0xe2, 0x7a, 0x4b, 0x0c, 0x08\n\t" ::"a"(out[1]), "c"(stride) : "memory");
  CHECK(memcmp(in, out, sizeof in) == 0, "tile registers");
  unsigned long permitted = 0;
  MUST((int)syscall(SYS_arch_prctl, ARCH_GET_XCOMP_PERM, &permitted));
  CHECK((permitted >> kTileData & 1) == 1, "permission for AMX is lost");
  return victim_end();
}
