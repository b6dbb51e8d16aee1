/* Loading the programs. C, because bpftool's light skeletons are. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/* Descriptors of programs, which belong to the set; addresses in memory that the programs share with us. */
struct crx_sleep_programs {
  void* skeleton;
  int timers, restart_blocks;
};
struct crx_aio_programs {
  void* skeleton;
  int contexts;
  unsigned int* cpus;
};
struct crx_unaccepted_programs {
  void* skeleton;
  int connections;
  unsigned long* listener_inode;
  unsigned int* first_item;
};

/* Each returns 0, or an errno: EPERM without CAP_BPF and CAP_PERFMON. Nothing is to be unloaded then. */
int crx_load_sleep_programs(struct crx_sleep_programs* set);
int crx_load_aio_programs(struct crx_aio_programs* set);
int crx_load_unaccepted_programs(struct crx_unaccepted_programs* set);

/* Of a set's skeleton; a null pointer is ignored. */
void crx_unload_sleep_programs(void* skeleton);
void crx_unload_aio_programs(void* skeleton);
void crx_unload_unaccepted_programs(void* skeleton);

#ifdef __cplusplus
}
#endif
