// Extended state: x87 stack and control word, MXCSR, SSE, AVX and AVX-512 registers and masks, of a thread
// that spins with them loaded, and of one that sleeps in the kernel.
#include "tests/victims/victim.h"

#include <immintrin.h>

static volatile int go __attribute__((used));
struct state {
  unsigned char zmm[32][64];
  uint64_t k[8];
  unsigned mxcsr;
  unsigned short control;
  double st[4];
};
static struct state in, out[2];
static bool avx, avx512;

#define EACH8(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7)
#define EACH16(f) EACH8(f) f(8) f(9) f(10) f(11) f(12) f(13) f(14) f(15)
#define EACH32(f) \
  EACH16(f) f(16) f(17) f(18) f(19) f(20) f(21) f(22) f(23) f(24) f(25) f(26) f(27) f(28) f(29) f(30) f(31)
#define LOAD_Z(n) "vmovdqu64 64*" #n "(%[in]), %%zmm" #n "\n\t"
#define STORE_Z(n) "vmovdqu64 %%zmm" #n ", 64*" #n "(%[out])\n\t"
#define LOAD_Y(n) "vmovdqu 64*" #n "(%[in]), %%ymm" #n "\n\t"
#define STORE_Y(n) "vmovdqu %%ymm" #n ", 64*" #n "(%[out])\n\t"
#define LOAD_X(n) "movdqu 64*" #n "(%[in]), %%xmm" #n "\n\t"
#define STORE_X(n) "movdqu %%xmm" #n ", 64*" #n "(%[out])\n\t"
#define LOAD_K(n) "kmovw 2048+8*" #n "(%[in]), %%k" #n "\n\t"
#define STORE_K(n) "kmovw %%k" #n ", 2048+8*" #n "(%[out])\n\t"
// Spins until the go file exists, or (with `sleeping`) is in one long system call and then polls with short ones.
#define WAIT                                                                    \
  "1: pause\n\t test %[sleeping], %[sleeping]\n\t je 2f\n\t"                    \
  "mov $35, %%eax\n\t lea nap(%%rip), %%rdi\n\t xor %%esi, %%esi\n\t syscall\n" \
  "2: cmpl $0, go(%%rip)\n\t je 1b\n\t"
#define RUN(loads, stores)                                                                   \
  __asm__ volatile(loads WAIT stores::[in] "r"(&in), [out] "r"(to), [sleeping] "r"(sleeping) \
                   : "rax", "rcx", "r11", "rdi", "rsi", "memory", "cc")

static struct timespec nap __attribute__((used)) = {0, 200000000};

static void* hold(void* argument) {
  long sleeping = (long)argument;
  struct state* to = &out[sleeping];
  unsigned old_mxcsr = _mm_getcsr(), mxcsr = in.mxcsr;
  unsigned short control = in.control;
  __asm__ volatile("fninit; fldcw %0; fldl %1; fldl %2; fldl %3; fldl %4; ldmxcsr %5" ::"m"(control), "m"(in.st[3]),
                   "m"(in.st[2]), "m"(in.st[1]), "m"(in.st[0]), "m"(mxcsr));
  if (avx512)
    RUN(EACH32(LOAD_Z) EACH8(LOAD_K), EACH32(STORE_Z) EACH8(STORE_K));
  else if (avx)
    RUN(EACH16(LOAD_Y), EACH16(STORE_Y));
  else
    RUN(EACH16(LOAD_X), EACH16(STORE_X));
  __asm__ volatile("stmxcsr %0; fnstcw %1; fstpl %2; fstpl %3; fstpl %4; fstpl %5"
                   : "=m"(to->mxcsr), "=m"(to->control), "=m"(to->st[0]), "=m"(to->st[1]), "=m"(to->st[2]),
                     "=m"(to->st[3]));
  __asm__ volatile("fninit");
  _mm_setcsr(old_mxcsr);
  if (avx) __asm__ volatile("vzeroupper");
  return NULL;
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  __builtin_cpu_init();
  avx = __builtin_cpu_supports("avx");
  avx512 = __builtin_cpu_supports("avx512f");
  fill(&in, sizeof in, 101);
  for (int i = 0; i < 8; i++) in.k[i] &= 0xffff;
  in.mxcsr = 0x7f80;    // round towards zero, all masked
  in.control = 0x0e7f;  // double precision, round up, all masked
  for (int i = 0; i < 4; i++) in.st[i] = 1.5 * (i + 1);
  pthread_t threads[2];
  for (long i = 0; i < 2; i++) threads[i] = start_thread(hold, (void*)i);
  victim_wait();
  go = 1;
  for (int t = 0; t < 2; t++) {
    pthread_join(threads[t], NULL);
    int registers = avx512 ? 32 : 16;
    size_t width = avx512 ? 64 : avx ? 32 : 16;
    for (int i = 0; i < registers; i++)
      CHECK(memcmp(in.zmm[i], out[t].zmm[i], width) == 0, "thread %d: vector register %d of %zu bytes", t, i, width);
    for (int i = 0; avx512 && i < 8; i++) CHECK_EQ(out[t].k[i], in.k[i], "mask register");
    CHECK_EQ(out[t].mxcsr & ~0x3fu, in.mxcsr, "MXCSR");
    CHECK_EQ(out[t].control, in.control, "x87 control word");
    for (int i = 0; i < 4; i++) CHECK(out[t].st[i] == in.st[i], "x87 register %d is %g", i, out[t].st[i]);
  }
  return victim_end();
}
