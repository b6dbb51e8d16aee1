// Asynchronous I/O (io_setup): unread events, also across the end of the ring; a ring that was never used and a large
// one; later requests, and a thread that waits for events.
#include "tests/victims/victim.h"

#include <linux/aio_abi.h>

struct ring {
  uint32_t id, events, head, tail, magic, compatible, incompatible, header_bytes;
};

static aio_context_t used, unused, large;
static int file;
static char buffer[64] = "asynchronous";
static struct io_event late;
static _Atomic int waiting;

static long submit(aio_context_t context, uint64_t data, size_t length) {
  struct iocb request = {.aio_data = data,
                         .aio_lio_opcode = IOCB_CMD_PWRITE,
                         .aio_fildes = (uint32_t)file,
                         .aio_buf = (uint64_t)buffer,
                         .aio_nbytes = length};
  struct iocb* list = &request;
  return syscall(SYS_io_submit, context, 1, &list);
}

static long take(aio_context_t context, long least, long most, struct io_event* events) {
  struct timespec now = {0, 0};
  return syscall(SYS_io_getevents, context, least, most, events, least > 0 ? NULL : &now);
}

static void* wait_for_one(void* argument) {
  (void)argument;
  atomic_store(&waiting, 1);
  long got = take(unused, 1, 1, &late);
  atomic_store(&waiting, got == 1 ? 2 : 3);
  return NULL;
}

// Makes and takes `count` events.
static void turn(aio_context_t context, unsigned count) {
  struct io_event event;
  for (unsigned i = 0; i < count; i++) {
    if (submit(context, i, 1) != 1 || take(context, 1, 1, &event) != 1) victim_setup_failed("turning a ring", __LINE__);
  }
}

int main(int argc, char** argv) {
  victim_start(argc, argv);
  char path[4300];
  snprintf(path, sizeof path, "%s", own_path("file"));
  file = MUST(open(path, O_RDWR | O_CREAT, 0644));
  MUST(syscall(SYS_io_setup, 20, &used));
  MUST(syscall(SYS_io_setup, 1, &unused));
  MUST(syscall(SYS_io_setup, 1000, &large));
  struct ring* ring = (struct ring*)used;
  struct ring* big = (struct ring*)large;
  turn(used, ring->events - 3);
  for (unsigned i = 0; i < 7; i++) MUST(submit(used, 100 + i, i + 1) == 1 ? 0 : -1);
  turn(large, 500);
  for (unsigned i = 0; i < 300; i++) MUST(submit(large, 1000 + i, 2) == 1 ? 0 : -1);
  uint32_t head = ring->head, tail = ring->tail, big_head = big->head, big_tail = big->tail;
  pthread_t waiter = start_thread(wait_for_one, NULL);
  wait_change(&waiting, 0);

  victim_wait();

  CHECK_EQ(ring->head, head, "head of the ring");
  CHECK_EQ(ring->tail, tail, "tail of the ring");
  CHECK_EQ(big->head, big_head, "head of the large ring");
  CHECK_EQ(big->tail, big_tail, "tail of the large ring");
  struct io_event events[400];
  CHECK_EQ(take(used, 0, 4, events), 4, "events that waited");
  CHECK_EQ(take(used, 0, 4, events + 4), 3, "events that waited, too");
  for (unsigned i = 0; i < 7; i++) {
    CHECK(events[i].data == 100 + i && events[i].res == i + 1, "event %u is %llu, with %lld", i,
          (unsigned long long)events[i].data, (long long)events[i].res);
  }
  CHECK_EQ(submit(used, 5, 3), 1, "a new request");
  CHECK(take(used, 1, 1, events) == 1 && events[0].data == 5 && events[0].res == 3, "the event of a new request");
  CHECK_EQ(take(large, 0, 400, events), 300, "events of the large ring");
  for (unsigned i = 0; i < 300; i++)
    CHECK(events[i].data == 1000 + i, "event %u is %llu", i, (unsigned long long)events[i].data);
  for (unsigned i = 0; i < big->events + 10; i++) {
    if (submit(large, i, 1) != 1 || take(large, 1, 1, events) != 1 || events[0].data != i)
      victim_fail("event %u afterwards", i);
  }
  CHECK_EQ(atomic_load(&waiting), 1, "the waiting thread");
  CHECK_EQ(submit(unused, 77, 4), 1, "a request in the ring that was never used");
  pthread_join(waiter, NULL);
  CHECK(atomic_load(&waiting) == 2 && late.data == 77 && late.res == 4, "what the waiting thread got");
  CHECK_EQ(syscall(SYS_io_destroy, used), 0, "io_destroy");
  CHECK_EQ(syscall(SYS_io_destroy, unused), 0, "io_destroy");
  CHECK_EQ(syscall(SYS_io_destroy, large), 0, "io_destroy");
  return victim_end();
}
