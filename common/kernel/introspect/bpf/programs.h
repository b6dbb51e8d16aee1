/* Loads and unloads the BPF programs. This is C, because the light skeletons that bpftool generates are C. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/* Each set contains descriptors of programs, which the skeleton owns, and pointers into memory that the programs share
   with crx. */
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

/* Each loads a set's programs and fills in the set. It returns 0, or an errno: EPERM without CAP_BPF and CAP_PERFMON.
   After an error there is nothing to unload. */
int crx_load_sleep_programs(struct crx_sleep_programs* set);
int crx_load_aio_programs(struct crx_aio_programs* set);
int crx_load_unaccepted_programs(struct crx_unaccepted_programs* set);

/* Each unloads the programs of a set, given its skeleton. A null pointer is ignored. */
void crx_unload_sleep_programs(void* skeleton);
void crx_unload_aio_programs(void* skeleton);
void crx_unload_unaccepted_programs(void* skeleton);

#ifdef __cplusplus
}
#endif
