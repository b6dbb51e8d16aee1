/* The records that the programs write and that crx reads from the iterators' descriptors. For C and C++. */
#pragma once

#include <linux/types.h>

/* sleeps.bpf.c, program timers: one for each thread. */
struct crx_timer_record {
  __u64 switches; /* how often the thread has gone to sleep (voluntary_ctxt_switches of proc_pid_status(5)) */
  __s64 due_ns;   /* CLOCK_MONOTONIC of the initial time namespace */
  __s32 tid;      /* in the initial PID namespace */
  __u8 armed;     /* a timer on its kernel stack is armed; otherwise due_ns is meaningless */
  __u8 runs;      /* the thread does not sleep; the other fields are meaningless then */
  __u8 changed;   /* the thread, or a timer beside its own, changed during the read: another attempt may succeed */
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
  __u64 user_id;    /* the address at which its ring is mapped */
  __u64 references; /* its count of requests, including two references of the context itself */
  __u64 failed;     /* not 0: the part of a CPU in the count could not be read */
};

/* unaccepted.bpf.c writes a stream of records. Each connection has a connection record, followed by one record for each
   buffer; the bytes of a name or buffer follow its record. The last record is an end record. */
enum crx_unaccepted_kind { CRX_CONNECTION = 1, CRX_BUFFER, CRX_END };
enum crx_unaccepted_trouble {
  CRX_FINE = 0,
  CRX_UNREADABLE, /* memory could not be read, or its content is not as expected */
  CRX_RIGHTS,     /* descriptors were passed with the data */
  CRX_URGENT,     /* there is urgent data (MSG_OOB) */
  CRX_PAGED,      /* the kernel holds the data in pages (from some 3700 bytes in one send on) */
};
struct crx_unaccepted_record {
  __u32 kind;
  __u32 trouble; /* all kinds: the reason why the bytes that follow are missing; CRX_FINE where they are valid */
  __u32 bytes;   /* connection: length of the name; buffer: length of the content; end: 1 when there is more */
  __s32 pid;     /* process that called connect(2) or sent the buffer; 0 for one of another PID namespace */
  __u32 uid, gid;
};
#define CRX_NAME_BYTES 110
