// The controlling terminal: taken by the session leader, with the foreground group it had.
#include <asm/ioctls.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>

#include <csignal>

#include "agent-dst/restore/kind/registry.hpp"
#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/tty.pb.h"
#include "common/kernel/process/kernel_sigaction.hpp"

namespace crx {
namespace {

class TerminalSessions final : public Restorer {
 public:
  const char* name() const override { return "controlling terminals"; }
  std::string image(const RestoreContext&) const override { return std::string(image_file::kTtyInfo); }

  // Setting the size of a terminal sends SIGWINCH to the foreground group, which knows the size already. The pending
  // signals are removed by ignoring them (sigaction(2): the kernel drops a pending signal whose default action is to be
  // ignored).
  void prepare(RestoreContext& context) override {
    if (!context.images.contains(image_file::kTtyInfo)) return;
    const ArenaScope scratch(context.vessel.arena());
    const KernelSigaction by_default{};
    context.vessel.call("dropping changes of size", SYS_rt_sigaction, SIGWINCH,
                        context.vessel.arena().put_object(by_default), 0, sizeof(uint64_t));
  }

  void plan_process(RestoreContext& context, RemoteBatch&) override {
    for (const auto& info : context.images.read_all<img::tty_info_entry>(image_file::kTtyInfo)) {
      if (info.sid() == 0 || static_cast<pid_t>(info.sid()) != context.pid || !info.has_pty()) continue;
      take(context, info);
    }
  }

 private:
  static void take(RestoreContext& context, const img::tty_info_entry& info) {
    const Fd terminal = open_checked(fmt::format("/dev/pts/{}", info.pty().index()), O_RDWR | O_NOCTTY | O_NONBLOCK);
    const ArenaScope scratch(context.vessel.arena());
    RemoteBatch batch = context.vessel.batch(3);
    const std::size_t number = context.vessel.descriptors().plan_borrow(batch, terminal.get());
    const std::size_t control = batch.add("taking the controlling terminal", SYS_ioctl, 0, TIOCSCTTY, 0);
    batch.store_result(number, batch.argument_addr(control, 0));
    context.vessel.run_checked(batch);
    RemoteBatch rest = context.vessel.batch(2);
    if (info.pgrp() != 0) {
      const auto group = static_cast<int32_t>(info.pgrp());
      rest.add("setting the foreground group", SYS_ioctl, batch.result(number), TIOCSPGRP,
               context.vessel.arena().put_object(group));
    }
    rest.add("closing the terminal", SYS_close, batch.result(number));
    context.vessel.run_checked(rest);
  }
};

}  // namespace

RestorerPtr make_terminal_sessions_restorer() {
  return std::make_unique<TerminalSessions>();
}

}  // namespace crx
