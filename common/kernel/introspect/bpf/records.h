/* What the programs write, and what crx reads from the iterators' descriptors. C and C++. */
#pragma once

#include <linux/types.h>

/* sleeps.bpf.c, program timers: one for each thread. */
struct crx_timer_record {
  __u64 switches; /* how often it has gone to sleep (voluntary_ctxt_switches of proc_pid_status(5)) */
  __s64 due_ns;   /* CLOCK_MONOTONIC of the initial time namespace */
  __s32 tid;      /* in the initial PID namespace */
  __u8 armed;     /* a timer on its kernel stack is armed; else due_ns means nothing */
  __u8 runs;      /* the thread does not sleep; nothing else counts */
  __u8 changed;   /* it, or a timer beside it, changed while this was read: worth another attempt */
  __u8 unused[1];
};

/* sleeps.bpf.c, program restart_blocks: one for each thread. */
struct crx_restart_record {
  __u64 remainder_addr;
  __s64 sleep_due_ns;
  __u64 futex_addr;
  __s64 futex_due_ns;
  __u64 poll_addr;
  __s64 poll_seconds, poll_nanoseconds;
  __s32 sleep_clock;
  __u32 poll_has_limit;
  __s32 tid; /* in the innermost PID namespace that the thread is in */
  __u8 changed;
  __u8 unused[3];
};

/* aio.bpf.c: one for each context. */
struct crx_aio_record {
  __u64 user_id;    /* where its ring is mapped */
  __u64 references; /* of its requests' count, two of which are the context's own */
  __u64 failed;     /* a CPU's part of the count could not be read */
};

/* unaccepted.bpf.c. A stream of records: for each connection a connection record, then one for each buffer, with its
   bytes behind it; at last an end record. */
enum crx_unaccepted_kind { CRX_CONNECTION = 1, CRX_BUFFER, CRX_END };
enum crx_unaccepted_trouble {
  CRX_FINE = 0,
  CRX_UNREADABLE, /* memory could not be read, or is not as expected */
  CRX_RIGHTS,     /* descriptors were passed with it */
  CRX_URGENT,     /* MSG_OOB */
  CRX_PAGED,      /* bytes that lie in pages (from some 3700 bytes in one send on) */
};
struct crx_unaccepted_record {
  __u32 kind;
  __u32 trouble; /* of all kinds: why what follows says nothing */
  __u32 bytes;   /* connection: of the name; buffer: of the content; end: 1 when there is more */
  __s32 pid;     /* connection: who called connect(2); buffer: who sent it; 0 for one of another PID namespace */
  __u32 uid, gid;
};
#define CRX_NAME_BYTES 110
