#include <doctest/doctest.h>
#include <linux/aio_abi.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <map>

#include "common/base/fd.hpp"
#include "common/kernel/introspect/kernel_view.hpp"

namespace crx {

TEST_CASE("kernel.aio: requests in flight are counted") {
  KernelView view;
  const AioRequests* const requests = view.aio_requests();
  REQUIRE_MESSAGE(requests != nullptr, view.reason());
  const auto own = [&] { return requests->in_flight(::getpid()).value(); };
  aio_context_t context = 0, other = 0;
  REQUIRE(::syscall(SYS_io_setup, 16, &context) == 0);
  REQUIRE(::syscall(SYS_io_setup, 4, &other) == 0);
  CHECK(own() == std::map<uint64_t, uint64_t>{{context, 0}, {other, 0}});
  const Fd event(::eventfd(0, EFD_CLOEXEC));
  iocb poll{};
  poll.aio_lio_opcode = IOCB_CMD_POLL;
  poll.aio_fildes = static_cast<uint32_t>(event.get());
  poll.aio_buf = 1;  // POLLIN
  iocb second = poll;
  iocb* both[] = {&poll, &second};
  REQUIRE(::syscall(SYS_io_submit, context, 2, both) == 2);
  CHECK(own().at(context) == 2);
  CHECK(own().at(other) == 0);
  const uint64_t one = 1;
  REQUIRE(::write(event.get(), &one, sizeof one) == sizeof one);
  io_event events[2];
  REQUIRE(::syscall(SYS_io_getevents, context, 2, 2, events, nullptr) == 2);
  CHECK(own().at(context) == 0);
  ::syscall(SYS_io_destroy, context);
  ::syscall(SYS_io_destroy, other);
  CHECK(own().empty());
}

}  // namespace crx
