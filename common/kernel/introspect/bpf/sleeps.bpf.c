/* Finds out until when threads sleep; see kernel/time/hrtimer.c. A thread that sleeps with a limit has its timer on its
   kernel stack (struct hrtimer_sleeper, with a pointer to the thread), between its saved stack pointer and the stack's
   end. A timer that an earlier call left there looks the same, but only an armed timer is in the tree of timers. */
#include "kernel_structs.h"

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "records.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* The size of 64 words divides a page, so that a read never begins on the stack and ends behind it. */
#define WORDS 64
#define MOST_CHUNKS 32
#define MOST_STACK 32768
#define COLOUR_BITS 3ul
#define TASK_RUNNING 0
#define HRTIMER_STATE_ENQUEUED 1

/* The state while one thread is examined. It is in static memory and not on the program's stack: the verifier does not
   track values there, and so has fewer states to follow. This is safe, since only one program runs at a time. */
static unsigned long words[WORDS];
static __u64 task_address, begin, from;
static __s64 due_ns;
static bool armed, unsure;

static __always_inline bool is_in_tree(struct hrtimer_sleeper* sleeper, struct hrtimer_clock_base* base) {
  const __u64 node = (__u64)sleeper + bpf_core_field_offset(struct hrtimer_sleeper, timer.node.node);
  struct rb_node* parent = (struct rb_node*)(BPF_CORE_READ(sleeper, timer.node.node.__rb_parent_color) & ~COLOUR_BITS);
  if (parent == NULL) return (__u64)BPF_CORE_READ(base, active.rb_root.rb_root.rb_node) == node;
  return (__u64)BPF_CORE_READ(parent, rb_left) == node || (__u64)BPF_CORE_READ(parent, rb_right) == node;
}

/* Checks that an address is a clock base of some CPU. Other parts of the stack contain pointers to the thread, too, but
   those do not belong to a timer with a clock base. */
static __always_inline bool is_clock(struct hrtimer_clock_base* base) {
  struct hrtimer_cpu_base* cpu = BPF_CORE_READ(base, cpu_base);
  return (__u64)cpu + bpf_core_field_offset(struct hrtimer_cpu_base, clock_base) +
             BPF_CORE_READ(base, index) * bpf_core_type_size(struct hrtimer_clock_base) ==
         (__u64)base;
}

static long look_at_word(__u32 i, void* unused) {
  if (i >= WORDS) return 1;
  if (words[i] != task_address) return 0;
  struct hrtimer_sleeper* sleeper =
      (struct hrtimer_sleeper*)(from + i * sizeof words[0] - bpf_core_field_offset(struct hrtimer_sleeper, task));
  struct hrtimer_clock_base* base = BPF_CORE_READ(sleeper, timer.base);
  if (base == NULL || !is_clock(base)) return 0;
  const bool has_state = bpf_core_field_exists(sleeper->timer.state);
  if (has_state && (BPF_CORE_READ(sleeper, timer.state) & HRTIMER_STATE_ENQUEUED) == 0) return 0;
  if (!is_in_tree(sleeper, base)) {
    unsure |= has_state; /* the tree was changed meanwhile */
    return 0;
  }
  /* _softexpires is the requested time, without the slack that the kernel adds to wake several threads at once. */
  const __s64 its_due_ns = BPF_CORE_READ(sleeper, timer._softexpires) - BPF_CORE_READ(base, offset);
  if (!armed || its_due_ns > due_ns) due_ns = its_due_ns;
  armed = true;
  return 0;
}

static long look_at_chunk(__u32 i, void* unused) {
  from = begin + i * sizeof words;
  if (bpf_probe_read_kernel(words, sizeof words, (void*)from) != 0) return 1;
  bpf_loop(WORDS, look_at_word, NULL, 0);
  return 0;
}

/* Examines the thread. The first pass (i == 0) stores its findings in the record, the second one compares with them. */
static long look(__u32 i, void* record_of_timer) {
  struct crx_timer_record* record = record_of_timer;
  struct task_struct* task = (struct task_struct*)task_address;
  begin = BPF_CORE_READ(task, thread.sp) & ~(sizeof words - 1);
  armed = unsure = false;
  due_ns = 0;
  if (begin - (__u64)BPF_CORE_READ(task, stack) < MOST_STACK) bpf_loop(MOST_CHUNKS, look_at_chunk, NULL, 0);
  const __u64 switches = BPF_CORE_READ(task, nvcsw);
  const bool differs = i != 0 && (record->armed != armed || record->due_ns != due_ns || record->switches != switches);
  record->runs |= BPF_CORE_READ(task, __state) == TASK_RUNNING;
  record->changed |= differs | (unsure && !armed);
  record->armed = armed;
  record->due_ns = due_ns;
  record->switches = switches;
  return 0;
}

SEC("iter/task")
int timers(struct bpf_iter__task* ctx) {
  struct task_struct* task = ctx->task;
  if (task == NULL) return 0;
  struct crx_timer_record record = {.tid = BPF_CORE_READ(task, pid)};
  task_address = (__u64)task;
  bpf_loop(2, look, &record, 0);
  bpf_seq_write(ctx->meta->seq, &record, sizeof record);
  return 0;
}

/* Returns the TID of a thread in its innermost PID namespace, which is also that of crx. */
static int number_of(struct task_struct* task) {
  struct pid* pid = BPF_CORE_READ(task, thread_pid);
  struct upid* innermost = (struct upid*)((__u64)pid + bpf_core_field_offset(struct pid, numbers) +
                                          BPF_CORE_READ(pid, level) * bpf_core_type_size(struct upid));
  return BPF_CORE_READ(innermost, nr);
}

SEC("iter/task")
int restart_blocks(struct bpf_iter__task* ctx) {
  struct task_struct* task = ctx->task;
  if (task == NULL) return 0;
  const unsigned long ran = BPF_CORE_READ(task, nvcsw) + BPF_CORE_READ(task, nivcsw);
  struct crx_restart_record record = {.tid = number_of(task)};
  record.sleep_clock = BPF_CORE_READ(task, restart_block.nanosleep.clockid);
  record.remainder_addr = (__u64)BPF_CORE_READ(task, restart_block.nanosleep.rmtp);
  record.sleep_due_ns = BPF_CORE_READ(task, restart_block.nanosleep.expires);
  record.futex_addr = (__u64)BPF_CORE_READ(task, restart_block.futex.uaddr);
  record.futex_due_ns = BPF_CORE_READ(task, restart_block.futex.time);
  record.poll_addr = (__u64)BPF_CORE_READ(task, restart_block.poll.ufds);
  record.poll_has_limit = BPF_CORE_READ(task, restart_block.poll.has_timeout);
  record.poll_seconds = BPF_CORE_READ(task, restart_block.poll.tv_sec);
  record.poll_nanoseconds = BPF_CORE_READ(task, restart_block.poll.tv_nsec);
  record.changed = BPF_CORE_READ(task, nvcsw) + BPF_CORE_READ(task, nivcsw) != ran;
  bpf_seq_write(ctx->meta->seq, &record, sizeof record);
  return 0;
}
