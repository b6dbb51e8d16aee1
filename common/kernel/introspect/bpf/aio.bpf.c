/* Counts the requests of asynchronous I/O (io_submit(2)) that are in flight; see fs/aio.c. A context counts its
   requests by references, which are kept on each CPU while the process runs (lib/percpu-refcount.c). */
#include "kernel_structs.h"

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "records.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define BIAS (1ull << 63) /* the kernel adds it to the sum of a count that is kept on each CPU */
#define FLAG_BITS 3ul     /* flags in percpu_count_ptr: the count is not kept on each CPU; the count has ended */
#define MOST_CONTEXTS 100000

/* The address of a per-CPU variable on one CPU is its per-CPU address plus the CPU's offset. A program cannot refer to
   the kernel's own table of offsets (__per_cpu_offset) where CONFIG_KALLSYMS_ALL is off. But a map with an element on
   each CPU provides both the per-CPU address (bpf_array.pptrs) and the element's address on each CPU. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} probe SEC(".maps");

unsigned int cpus; /* set by crx */
static volatile __u64 pointer;

/* Converts a pointer to a number: the verifier treats a pointer that is read back from memory as a number. */
static __u64 as_number(const void* address) {
  pointer = (__u64)address;
  return pointer;
}

struct sum {
  __u64 per_cpu, probe_per_cpu, references;
  bool failed;
};

static long add_cpu(__u32 cpu, struct sum* sum) {
  const __u32 first = 0;
  const __u64* element = bpf_map_lookup_percpu_elem(&probe, &first, cpu);
  __u64 count = 0;
  const __u64 offset = as_number(element) - sum->probe_per_cpu;
  if (element == NULL || bpf_probe_read_kernel(&count, sizeof count, (void*)(sum->per_cpu + offset)) != 0)
    sum->failed = true;
  sum->references += count;
  return 0;
}

struct walk {
  struct seq_file* seq;
  struct kioctx_table* table;
};

static long look_at_context(__u32 i, struct walk* walk) {
  struct kioctx* context = NULL;
  const __u64 slot = (__u64)walk->table + bpf_core_field_offset(struct kioctx_table, table) + i * sizeof context;
  if (bpf_probe_read_kernel(&context, sizeof context, (void*)slot) != 0 || context == NULL) return 0;
  struct sum sum = {.per_cpu = BPF_CORE_READ(context, reqs.percpu_count_ptr)};
  struct bpf_array* array = (struct bpf_array*)as_number(&probe);
  sum.references = BPF_CORE_READ(context, reqs.data, count.counter);
  if ((sum.per_cpu & FLAG_BITS) == 0) {
    sum.references -= BIAS;
    sum.probe_per_cpu = (__u64)BPF_CORE_READ(array, pptrs[0]);
    bpf_loop(cpus, add_cpu, &sum, 0);
  }
  const struct crx_aio_record record = {
      .user_id = BPF_CORE_READ(context, user_id), .references = sum.references, .failed = sum.failed};
  bpf_seq_write(walk->seq, (void*)&record, sizeof record);
  return 0;
}

SEC("iter/task")
int aio_contexts(struct bpf_iter__task* ctx) {
  struct task_struct* task = ctx->task;
  if (task == NULL) return 0;
  struct walk walk = {.seq = ctx->meta->seq, .table = BPF_CORE_READ(task, mm, ioctx_table)};
  if (walk.table == NULL) return 0;
  struct kioctx_table* table = walk.table;
  const __u32 count = BPF_CORE_READ(table, nr);
  bpf_loop(count < MOST_CONTEXTS ? count : MOST_CONTEXTS, look_at_context, &walk, 0);
  return 0;
}
