/* Reads the data that was sent over connections of a unix socket which still wait to be accepted; see
   net/unix/af_unix.c. The listening socket's queue has one buffer for each such connection. That buffer belongs to the
   end of the connection that accept(2) will return, and the queue of this end holds the data from the client. */
#include "kernel_structs.h"

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "records.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define MOST_WAITING 65536
#define CHUNK 4096
#define MOST_CHUNKS 5
#define MOST_CONTENT (CHUNK * MOST_CHUNKS)
#define ROOM_BYTES 8192 /* content is added only while at most so much is written; the kernel has room for 32 KiB */

/* crx sets these two. */
unsigned long listener_inode;
unsigned int first_item; /* earlier runs have written the connections and buffers before this one */

/* The state of one walk. It is in static memory and not on the program's stack: the verifier does not track values
   there, and so has fewer states to follow. This is safe, since only one program runs at a time. */
static char content[MOST_CONTENT];
static char name[CRX_NAME_BYTES + 2];
static __u64 our_space; /* address of our PID namespace */
static __u32 our_level;
static __u64 listener_queue, next_connection; /* addresses of sk_buff_head and sk_buff */
static __u64 end_queue, next_buffer;          /* the same for the end of the connection */
static __u32 item, written, trouble;
static bool full;

struct output {
  struct seq_file* seq;
};

static __always_inline int number_of(struct pid* pid) {
  if (BPF_CORE_READ(pid, level) < our_level) return 0;
  struct upid* here = (struct upid*)((__u64)pid + bpf_core_field_offset(struct pid, numbers) +
                                     our_level * bpf_core_type_size(struct upid));
  return (__u64)BPF_CORE_READ(here, ns) == our_space ? BPF_CORE_READ(here, nr) : 0;
}

static __always_inline void write(struct output* output, const struct crx_unaccepted_record* record, const char* bytes,
                                  __u64 most) {
  bpf_seq_write(output->seq, (void*)record, sizeof *record);
  trouble = record->trouble;
  __u64 count = record->bytes;
  barrier_var(count); /* the verifier has to see that the value which is used is the one that was compared */
  if (trouble == CRX_FINE && count <= most) bpf_seq_write(output->seq, (void*)bytes, count);
  written += sizeof *record + count;
}

static __always_inline __u32 read_content(struct sk_buff* buffer, struct unix_skb_parms* control) {
  __u64 count = BPF_CORE_READ(buffer, len);
  barrier_var(count);
  if (BPF_CORE_READ(control, fp) != NULL) return CRX_RIGHTS;
  if (BPF_CORE_READ(buffer, data_len) != 0) return CRX_PAGED;
  if (count > MOST_CONTENT) return CRX_UNREADABLE;
  return bpf_probe_read_kernel(content, count, BPF_CORE_READ(buffer, data)) == 0 ? CRX_FINE : CRX_UNREADABLE;
}

static long look_at_buffer(__u32 unused, struct output* output) {
  struct sk_buff* buffer = (struct sk_buff*)next_buffer;
  if (next_buffer == end_queue || next_buffer == 0) return 1;
  if (item >= first_item) {
    full = written > ROOM_BYTES;
    if (full) return 1;
    struct unix_skb_parms* control =
        (struct unix_skb_parms*)((__u64)buffer + bpf_core_field_offset(struct sk_buff, cb));
    struct crx_unaccepted_record record = {.kind = CRX_BUFFER, .bytes = BPF_CORE_READ(buffer, len)};
    record.pid = number_of(BPF_CORE_READ(control, pid));
    record.uid = BPF_CORE_READ(control, uid.val);
    record.gid = BPF_CORE_READ(control, gid.val);
    record.trouble = read_content(buffer, control);
    write(output, &record, content, sizeof content);
    if (trouble != CRX_FINE) return 1;
  }
  ++item;
  next_buffer = (__u64)BPF_CORE_READ(buffer, next);
  return 0;
}

/* Reads the name of the client, whose socket exists as long as the other end, even when it is closed. */
static __always_inline __u32 read_name(struct sock* end, struct crx_unaccepted_record* record) {
  struct unix_sock* client = (struct unix_sock*)BPF_CORE_READ((struct unix_sock*)end, peer);
  struct unix_address* address = BPF_CORE_READ(client, addr);
  if (address == NULL) return CRX_FINE;
  const __u64 head = bpf_core_field_offset(struct sockaddr_un, sun_path);
  __u64 count = BPF_CORE_READ(address, len) - head;
  barrier_var(count);
  record->bytes = count;
  const __u64 at = (__u64)address + bpf_core_field_offset(struct unix_address, name) + head;
  if (count > CRX_NAME_BYTES) return CRX_UNREADABLE;
  return bpf_probe_read_kernel(name, count, (void*)at) == 0 ? CRX_FINE : CRX_UNREADABLE;
}

static __always_inline void write_connection(struct output* output, struct sock* end) {
  struct crx_unaccepted_record record = {.kind = CRX_CONNECTION};
  const struct cred* who = BPF_CORE_READ(end, sk_peer_cred);
  record.pid = number_of(BPF_CORE_READ(end, sk_peer_pid));
  record.uid = BPF_CORE_READ(who, euid.val);
  record.gid = BPF_CORE_READ(who, egid.val);
  record.trouble = who == NULL ? CRX_UNREADABLE : read_name(end, &record);
  if (bpf_core_field_exists(struct unix_sock, oob_skb) && BPF_CORE_READ((struct unix_sock*)end, oob_skb) != NULL)
    record.trouble = CRX_URGENT;
  write(output, &record, name, CRX_NAME_BYTES);
}

/* Returns false where the walk must end. */
static __always_inline bool look_at_end(struct output* output, struct sock* end) {
  if (item >= first_item) {
    full = written > ROOM_BYTES;
    if (full) return false;
    write_connection(output, end);
    if (trouble != CRX_FINE) return false;
  }
  ++item;
  end_queue = (__u64)end + bpf_core_field_offset(struct sock, sk_receive_queue);
  next_buffer = (__u64)BPF_CORE_READ(end, sk_receive_queue.next);
  bpf_loop(MOST_WAITING, look_at_buffer, output, 0);
  if (full || trouble != CRX_FINE) return false;
  if (next_buffer != end_queue) trouble = CRX_UNREADABLE;
  return next_buffer == end_queue;
}

static long look_at_connection(__u32 unused, struct output* output) {
  struct sk_buff* waiting = (struct sk_buff*)next_connection;
  if (next_connection == listener_queue || next_connection == 0) return 1;
  if (!look_at_end(output, BPF_CORE_READ(waiting, sk))) return 1;
  next_connection = (__u64)BPF_CORE_READ(waiting, next);
  return 0;
}

static __always_inline void find_our_space(void) {
  struct pid* own = BPF_CORE_READ((struct task_struct*)bpf_get_current_task(), thread_pid);
  our_level = BPF_CORE_READ(own, level);
  struct upid* here = (struct upid*)((__u64)own + bpf_core_field_offset(struct pid, numbers) +
                                     our_level * bpf_core_type_size(struct upid));
  our_space = (__u64)BPF_CORE_READ(here, ns);
}

SEC("iter/unix")
int unaccepted(struct bpf_iter__unix* ctx) {
  struct sock* listener = (struct sock*)ctx->unix_sk;
  if (listener == NULL || BPF_CORE_READ(listener, sk_socket, file, f_inode, i_ino) != listener_inode) return 0;
  find_our_space();
  struct output output = {.seq = ctx->meta->seq};
  item = written = trouble = 0;
  full = false;
  listener_queue = (__u64)listener + bpf_core_field_offset(struct sock, sk_receive_queue);
  next_connection = (__u64)BPF_CORE_READ(listener, sk_receive_queue.next);
  bpf_loop(MOST_WAITING, look_at_connection, &output, 0);
  if (!full && trouble == CRX_FINE && next_connection != listener_queue) trouble = CRX_UNREADABLE;
  const struct crx_unaccepted_record end = {.kind = CRX_END, .trouble = trouble, .bytes = full};
  bpf_seq_write(output.seq, (void*)&end, sizeof end);
  return 0;
}
