// io_getevents without a timeout: the event comes from a poll of an eventfd that was submitted before the move.
#include "tests/victims/process/calls/blocked.h"

#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/eventfd.h>

static aio_context_t context;
static int fd;
static struct iocb request, *requests[] = {&request};

static void set_up(void) {
  fd = MUST(eventfd(0, 0));
  MUST((int)syscall(SYS_io_setup, 8, &context));
  request =
      (struct iocb){.aio_data = 5, .aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = (uint32_t)fd, .aio_buf = POLLIN};
  MUST((int)syscall(SYS_io_submit, context, 1L, requests));
}
static long call(void) {
  struct io_event event;
  return syscall(SYS_io_getevents, context, 1L, 1L, &event, NULL) == 1 ? (long)event.data : -1;
}
static void wake(void) {
  uint64_t one = 1;
  MUST(write(fd, &one, 8));
}

int main(int argc, char** argv) {
  return blocked_main(argc, argv, &(struct blocked){.set_up = set_up, .call = call, .wake = wake, .want = 5});
}
