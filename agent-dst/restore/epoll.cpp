// epoll: the task itself adds what it watches, since the kernel remembers the numbers.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "agent-dst/restore/fd_restorer.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"

namespace crx {
namespace {

constexpr std::size_t kAddsAtOnce = 8192;
constexpr uint32_t kPrivateBits = EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE;
constexpr uint32_t kAnything = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP;

struct Watch {
  uint32_t set = 0;      // id of the epoll description
  uint32_t target = 0;   // number it was added under
  uint32_t moved_to = 0; // id of the description, where the number does not lead to it
  epoll_event event{};
  // EPOLLONESHOT that has fired and was not armed again: nothing but the private bits is left.
  bool is_spent() const { return (event.events & EPOLLONESHOT) != 0 && (event.events & ~kPrivateBits) == 0; }
};

class Epolls final : public FdRestorer {
 public:
  const char* name() const override { return "epoll"; }
  bool matches(const img::file_entry& entry) const override { return entry.type() == img::EVENTPOLL && entry.has_epfd(); }

  Fd open(const img::file_entry& entry, FdRestoreContext& context) override {
    Fd fd(::epoll_create1(EPOLL_CLOEXEC));
    if (!fd) throw_errno("restoring an epoll set", describe("epoll", entry.id(), context));
    return fd;
  }

  void fix_up(FdRestoreContext& context) override {
    std::vector<Watch> plain;
    for (const auto& [id, entry] : context.entries) {
      if (!matches(entry)) continue;
      for (const Watch& watch : watches_of(id, entry.epfd(), context)) {
        if (watch.moved_to != 0) {
          add_moved(watch, context);
        } else if (watch.is_spent()) {
          add_spent(watch, context);
        } else {
          plain.push_back(watch);
        }
      }
    }
    for (std::size_t first = 0; first < plain.size(); first += kAddsAtOnce) {
      const std::size_t end = std::min(plain.size(), first + kAddsAtOnce);
      context.task.vessel.arena().reset();
      RemoteBatch batch = context.batch(end - first);
      for (std::size_t i = first; i < end; ++i) plan_add(plain[i], batch, context);
      context.task.vessel.run_checked(batch);
    }
  }

 private:
  static std::vector<Watch> watches_of(uint32_t id, const img::eventpoll_file_entry& epfd, const FdRestoreContext& context) {
    std::vector<Watch> watches;
    for (const img::eventpoll_tfd_entry& tfd : epfd.tfd()) {
      Watch watch{id, tfd.tfd(), 0, {}};
      watch.event.events = tfd.events();
      watch.event.data.u64 = tfd.data();
      watches.push_back(watch);
    }
    for (const img::crx_epoll_target& moved : context.extra(id).epoll_targets()) {
      if (moved.index() >= watches.size()) {
        throw Error(ErrorCode::corrupt_image, "restoring an epoll set", fmt::format("it has no entry {}", moved.index()));
      }
      watches[moved.index()].moved_to = moved.file_id();
    }
    return watches;
  }

  static void plan_add(const Watch& watch, RemoteBatch& batch, FdRestoreContext& context) {
    batch.add("watching a descriptor", SYS_epoll_ctl, context.number_of(watch.set), EPOLL_CTL_ADD, watch.target,
              context.task.vessel.arena().put_object(watch.event));
  }

  static void add_now(const Watch& watch, FdRestoreContext& context) {
    context.task.vessel.arena().reset();
    RemoteBatch batch = context.batch(1);
    plan_add(watch, batch, context);
    context.task.vessel.run_checked(batch);
  }

  // Whatever is ready now spends it. A file with nothing ready reports errors and hang-ups once, which
  // the program would have been told when it armed the entry again.
  static void add_spent(const Watch& watch, FdRestoreContext& context) {
    Watch armed = watch;
    armed.event.events |= kAnything;
    add_now(armed, context);
    epoll_event event{};
    if (::epoll_wait(context.own.at(watch.set).get(), &event, 1, 0) == 1) return;
    context.task.vessel.arena().reset();
    RemoteBatch batch = context.batch(1);
    batch.add("watching a descriptor", SYS_epoll_ctl, context.number_of(watch.set), EPOLL_CTL_MOD, watch.target,
              context.task.vessel.arena().put_object(watch.event));
    context.task.vessel.run_checked(batch);
    log::debug("{}: descriptor {} keeps reporting hang-ups", describe("epoll", watch.set, context), watch.target);
  }

  // The file goes to the number for a moment; what has the number now comes back afterwards.
  static void add_moved(const Watch& watch, FdRestoreContext& context) {
    Vessel& vessel = context.task.vessel;
    vessel.arena().reset();
    RemoteBatch look = context.batch(2);
    const std::size_t saved = look.add_optional("saving a descriptor", SYS_fcntl, watch.target, F_DUPFD_CLOEXEC, 0);
    const std::size_t cloexec = look.add_optional("looking at a descriptor", SYS_fcntl, watch.target, F_GETFD);
    vessel.run_checked(look);
    const int64_t keep = look.result(saved);
    RemoteBatch batch = context.batch(4);
    batch.add("placing a descriptor", SYS_dup3, context.number_of(watch.moved_to), watch.target, O_CLOEXEC);
    plan_add(watch, batch, context);
    if (keep >= 0) {
      batch.add("placing a descriptor", SYS_dup3, keep, watch.target, look.result(cloexec) == FD_CLOEXEC ? O_CLOEXEC : 0);
      batch.add("placing a descriptor", SYS_close, keep);
    } else {
      batch.add("placing a descriptor", SYS_close, watch.target);
    }
    vessel.run_checked(batch);
  }
};

}  // namespace

FdRestorerPtr make_epoll_restorer() { return std::make_unique<Epolls>(); }

}  // namespace crx
