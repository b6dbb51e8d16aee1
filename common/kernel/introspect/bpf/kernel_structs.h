/* The fields of the kernel's structures that the programs read, and no others. clang records each access
   (preserve_access_index), and the running kernel replaces the offsets by its own when it loads the programs (CO-RE:
   https://docs.kernel.org/bpf/libbpf/libbpf_overview.html). So the order and the sizes of the declarations do not
   matter. They are written by hand, so that a build does not depend on the kernel that it runs on. */
#pragma once

#include <linux/types.h>

#include <stdbool.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* include/linux/rbtree_types.h, timerqueue_types.h, hrtimer_types.h */
struct rb_node {
  unsigned long __rb_parent_color;
  struct rb_node *rb_right, *rb_left;
};
struct rb_root {
  struct rb_node* rb_node;
};
struct rb_root_cached {
  struct rb_root rb_root;
};
struct timerqueue_node {
  struct rb_node node;
};
struct timerqueue_head {
  struct rb_root_cached rb_root;
};
struct hrtimer_cpu_base;
struct hrtimer_clock_base {
  struct hrtimer_cpu_base* cpu_base;
  unsigned int index;
  struct timerqueue_head active;
  __s64 offset;
};
struct hrtimer_cpu_base {
  struct hrtimer_clock_base clock_base[1];
};
struct hrtimer {
  struct timerqueue_node node;
  __s64 _softexpires;
  struct hrtimer_clock_base* base;
  __u8 state;
};
struct task_struct;
struct hrtimer_sleeper {
  struct hrtimer timer;
  struct task_struct* task;
};

/* include/linux/restart_block.h */
struct restart_block {
  union {
    struct {
      __u32* uaddr;
      __u64 time;
    } futex;
    struct {
      int clockid;
      union {
        void* rmtp;
      };
      __u64 expires;
    } nanosleep;
    struct {
      void* ufds;
      int has_timeout;
      unsigned long tv_sec;
      unsigned long tv_nsec;
    } poll;
  };
};

/* include/linux/pid.h. The array has one element for each level of PID namespaces. */
struct pid_namespace;
struct upid {
  int nr;
  struct pid_namespace* ns;
};
struct pid {
  unsigned int level;
  struct upid numbers[1];
};

/* include/linux/sched.h, arch/x86/include/asm/processor.h */
struct thread_struct {
  unsigned long sp;
};
struct mm_struct;
struct task_struct {
  int pid;
  unsigned int __state;
  void* stack;
  struct mm_struct* mm;
  struct pid* thread_pid;
  unsigned long nvcsw, nivcsw;
  struct restart_block restart_block;
  struct thread_struct thread;
};

/* fs/aio.c, include/linux/percpu-refcount.h */
typedef struct {
  __s64 counter;
} atomic64_t;
struct percpu_ref_data {
  atomic64_t count;
};
struct percpu_ref {
  unsigned long percpu_count_ptr;
  struct percpu_ref_data* data;
};
struct kioctx {
  struct percpu_ref reqs;
  unsigned long user_id;
};
struct kioctx_table {
  unsigned int nr;
  struct kioctx* table[1];
};
struct mm_struct {
  struct kioctx_table* ioctx_table;
};

/* include/linux/cred.h */
typedef struct {
  __u32 val;
} kuid_t;
typedef struct {
  __u32 val;
} kgid_t;
struct cred {
  kuid_t euid;
  kgid_t egid;
};

/* include/linux/skbuff.h, include/net/sock.h, include/net/af_unix.h, net/unix/af_unix.c */
struct inode {
  unsigned long i_ino;
};
struct file {
  struct inode* f_inode;
};
struct socket {
  struct file* file;
};
struct sock;
struct sk_buff {
  struct sk_buff* next;
  struct sock* sk;
  char cb[48];
  unsigned int len, data_len;
  unsigned char* data;
};
struct sk_buff_head {
  struct sk_buff* next;
};
struct sock {
  struct sk_buff_head sk_receive_queue;
  struct socket* sk_socket;
  struct pid* sk_peer_pid;
  const struct cred* sk_peer_cred;
};
struct sockaddr_un {
  char sun_path[108];
};
struct unix_address {
  int len;
  struct sockaddr_un name[1];
};
struct unix_sock {
  struct sock sk;
  struct unix_address* addr;
  struct sock* peer;
  struct sk_buff* oob_skb;
};
struct scm_fp_list;
struct unix_skb_parms {
  struct pid* pid;
  kuid_t uid;
  kgid_t gid;
  struct scm_fp_list* fp;
};

/* include/linux/bpf.h, kernel/bpf/arraymap.c */
struct bpf_array {
  void* pptrs[1];
};

/* The arguments that the kernel passes to iterator programs (kernel/bpf/task_iter.c, net/unix/af_unix.c). */
struct seq_file;
struct bpf_iter_meta {
  struct seq_file* seq;
};
struct bpf_iter__task {
  struct bpf_iter_meta* meta;
  struct task_struct* task;
};
struct bpf_iter__unix {
  struct bpf_iter_meta* meta;
  struct unix_sock* unix_sk;
};

#pragma clang attribute pop
