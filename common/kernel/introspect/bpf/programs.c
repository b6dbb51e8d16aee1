#include "common/kernel/introspect/bpf/programs.h"

#include <errno.h>
#include <stddef.h>

/* bpftool generates these headers. */
#include "introspect-bpf/aio.skel.h"
#include "introspect-bpf/sleeps.skel.h"
#include "introspect-bpf/unaccepted.skel.h"

int crx_load_sleep_programs(struct crx_sleep_programs* set) {
  struct sleeps* skeleton = sleeps__open();
  if (skeleton == NULL) return ENOMEM;
  const int error = sleeps__load(skeleton);
  if (error != 0) {
    sleeps__destroy(skeleton);
    return -error;
  }
  set->skeleton = skeleton;
  set->timers = skeleton->progs.timers.prog_fd;
  set->restart_blocks = skeleton->progs.restart_blocks.prog_fd;
  return 0;
}

int crx_load_aio_programs(struct crx_aio_programs* set) {
  struct aio* skeleton = aio__open();
  if (skeleton == NULL) return ENOMEM;
  const int error = aio__load(skeleton);
  if (error != 0) {
    aio__destroy(skeleton);
    return -error;
  }
  set->skeleton = skeleton;
  set->contexts = skeleton->progs.aio_contexts.prog_fd;
  set->cpus = &skeleton->bss->cpus;
  return 0;
}

int crx_load_unaccepted_programs(struct crx_unaccepted_programs* set) {
  struct unaccepted* skeleton = unaccepted__open();
  if (skeleton == NULL) return ENOMEM;
  const int error = unaccepted__load(skeleton);
  if (error != 0) {
    unaccepted__destroy(skeleton);
    return -error;
  }
  set->skeleton = skeleton;
  set->connections = skeleton->progs.unaccepted.prog_fd;
  set->listener_inode = &skeleton->bss->listener_inode;
  set->first_item = &skeleton->bss->first_item;
  return 0;
}

void crx_unload_sleep_programs(void* skeleton) {
  sleeps__destroy(skeleton);
}
void crx_unload_aio_programs(void* skeleton) {
  aio__destroy(skeleton);
}
void crx_unload_unaccepted_programs(void* skeleton) {
  unaccepted__destroy(skeleton);
}
