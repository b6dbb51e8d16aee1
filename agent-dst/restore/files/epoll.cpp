// epoll sets with their watched descriptors.
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <thread>
#include <vector>

#include "agent-dst/restore/kind/fd_restorer.hpp"
#include "common/base/error.hpp"

namespace crx {
namespace {

constexpr uint32_t kMaxNumber = 1 << 20;
constexpr uint32_t kPrivateBits = EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE;
constexpr uint32_t kAnything = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP;

struct Watch {
  uint32_t set = 0;     // id of the epoll description
  uint32_t target = 0;  // the number under which it was added
  uint32_t file = 0;    // the id of the watched description
  epoll_event event{};
  // Whether this is an EPOLLONESHOT watch that has fired and was not armed again: only the private bits are left.
  bool is_spent() const { return (event.events & EPOLLONESHOT) != 0 && (event.events & ~kPrivateBits) == 0; }
};

class Epolls final : public FdRestorer {
 public:
  const char* name() const override { return "epoll"; }
  bool matches(const img::file_entry& entry) const override {
    return entry.type() == img::EVENTPOLL && entry.has_epfd();
  }

  Fd open(const img::file_entry& entry, FdRestoreContext& context) override {
    Fd fd(::epoll_create1(EPOLL_CLOEXEC));
    if (!fd) throw_errno("restoring an epoll set", describe("epoll", entry.id(), context));
    return fd;
  }

  // The kernel stores the number under which a file was added. So a thread of ours with its own descriptor table puts
  // each file under the number that the task had for it, and adds it from there.
  void opened(FdRestoreContext& context) override {
    std::vector<Watch> watches = all_watches(context, false);
    if (watches.empty()) return;
    // Spent watches come first, before anything else in their sets is ready: an event that we receive must be theirs.
    std::stable_partition(watches.begin(), watches.end(), [](const Watch& watch) { return watch.is_spent(); });
    std::exception_ptr failure;
    std::thread([&] {
      try {
        if (::unshare(CLONE_FILES) != 0) throw_errno("restoring epoll sets", "a descriptor table");
        for (const Watch& watch : watches) add(watch, context);
      } catch (const std::exception&) {  // passed on to the engine's thread
        failure = std::current_exception();
      }
    }).join();
    if (failure) std::rethrow_exception(failure);
  }

  // A signalfd watch reports the signals of the task that has added it, so the task adds these itself.
  void fix_up(FdRestoreContext& context) override {
    for (const Watch& watch : all_watches(context, true)) add_in_task(watch, context);
  }

 private:
  std::vector<Watch> all_watches(FdRestoreContext& context, bool of_signals) const {
    std::vector<Watch> watches;
    for (const auto& [id, fd] : context.own) {
      const img::file_entry& entry = context.entries.at(id);
      if (!matches(entry)) continue;
      for (const Watch& watch : watches_of(id, entry.epfd(), context)) {
        const auto file = context.entries.find(watch.file);
        const bool signals = file != context.entries.end() && file->second.has_sgfd();
        if (signals == of_signals) watches.push_back(watch);
      }
    }
    return watches;
  }

  static void add_in_task(const Watch& watch, FdRestoreContext& context) {
    const FdPlace& set = context.place_of(watch.set);
    Vessel& vessel = set.task->vessel;
    const int target = static_cast<int>(watch.target);
    const auto in_task = [&](const FdPlace& place) { return place.task == set.task; };
    const auto& places = context.places[watch.file];
    const auto exact =
        std::find_if(places.begin(), places.end(), [&](const FdPlace& p) { return in_task(p) && p.fd == target; });
    const ArenaScope scratch(vessel.arena());
    RemoteBatch batch = vessel.batch(8);
    const auto event = vessel.arena().put_object(watch.event);
    if (exact != places.end()) {
      batch.add("watching a signalfd", SYS_epoll_ctl, set.fd, EPOLL_CTL_ADD, target, event);
      vessel.run_checked(batch);
      return;
    }
    // The file is put under the number for a moment; the descriptor that has the number now is restored afterwards.
    const std::size_t kept = batch.add_optional("saving a descriptor", SYS_fcntl, target, F_DUPFD_CLOEXEC, 0);
    const std::size_t flags = batch.add_optional("looking at a descriptor", SYS_fcntl, target, F_GETFD);
    const std::size_t borrowed = vessel.descriptors().plan_borrow(batch, context.own.at(watch.file).get());
    vessel.run_checked(batch);
    const int64_t keep = batch.result(kept), file = batch.result(borrowed);
    RemoteBatch move = vessel.batch(5);
    if (file != target) move.add("placing a descriptor", SYS_dup3, file, target, O_CLOEXEC);
    move.add("watching a signalfd", SYS_epoll_ctl, set.fd, EPOLL_CTL_ADD, target, event);
    if (keep >= 0) {
      move.add("placing a descriptor", SYS_dup3, keep, target, batch.result(flags) == FD_CLOEXEC ? O_CLOEXEC : 0);
      move.add("closing a descriptor", SYS_close, keep);
    } else {
      move.add("closing a descriptor", SYS_close, target);
    }
    if (file != target) move.add("closing a descriptor", SYS_close, file);
    vessel.run_checked(move);
  }

  static std::vector<Watch> watches_of(uint32_t id, const img::eventpoll_file_entry& epfd,
                                       const FdRestoreContext& context) {
    std::vector<Watch> watches;
    for (const img::eventpoll_tfd_entry& tfd : epfd.tfd()) {
      Watch watch{id, tfd.tfd(), 0, {}};
      watch.event.events = tfd.events();
      watch.event.data.u64 = tfd.data();
      watches.push_back(watch);
    }
    for (const img::crx_epoll_target& moved : context.extra(id).epoll_targets()) {
      if (moved.index() >= watches.size()) {
        throw Error(ErrorCode::corrupt_image, "restoring an epoll set",
                    fmt::format("it has no entry {}", moved.index()));
      }
      watches[moved.index()].file = moved.file_id();
    }
    for (Watch& watch : watches) {
      if (watch.file == 0) watch.file = behind(watch, context);
      if (watch.target >= kMaxNumber) {
        throw Error(ErrorCode::corrupt_image, "restoring an epoll set",
                    fmt::format("it watches number {}", watch.target));
      }
    }
    return watches;
  }

  // Returns the id of the description that the watched number leads to in a task that has the set.
  static uint32_t behind(const Watch& watch, const FdRestoreContext& context) {
    const auto set = context.places.find(watch.set);
    for (const auto& [id, places] : context.places) {
      for (const FdPlace& place : places) {
        if (place.fd != static_cast<int>(watch.target) || set == context.places.end()) continue;
        const auto has_set = [&](const FdPlace& of) { return of.task == place.task; };
        if (std::any_of(set->second.begin(), set->second.end(), has_set)) return id;
      }
    }
    throw Error(
        ErrorCode::corrupt_image, "restoring an epoll set",
        fmt::format("{}: nothing is open under number {}", describe("epoll", watch.set, context), watch.target));
  }

  // Runs in the thread with its own descriptor table, where the set and the file may themselves occupy the number.
  static void add(const Watch& watch, const FdRestoreContext& context) {
    const int number = static_cast<int>(watch.target);
    const auto above = [&](uint32_t id) {
      const auto own = context.own.find(id);
      if (own == context.own.end()) {
        throw Error(ErrorCode::corrupt_image, "restoring an epoll set", fmt::format("file {} is not open", id));
      }
      Fd copy(::fcntl(own->second.get(), F_DUPFD_CLOEXEC, number + 1));
      if (!copy) throw_errno("restoring an epoll set", describe("epoll", watch.set, context));
      return copy;
    };
    const Fd set = above(watch.set), file = above(watch.file);
    // Save our own descriptor of this number: other files come after this one.
    const Fd kept(::fcntl(number, F_DUPFD_CLOEXEC, number + 1));
    if (::dup3(file.get(), number, O_CLOEXEC) < 0)
      throw_errno("restoring an epoll set", fmt::format("number {}", number));
    Watch armed = watch;
    if (watch.is_spent()) armed.event.events |= kAnything;
    int result = ::epoll_ctl(set.get(), EPOLL_CTL_ADD, number, &armed.event);
    // Any event that is ready now spends the watch. A file with nothing ready reports errors and hang-ups once, which
    // the program would have seen when it armed the watch again.
    epoll_event event{};
    if (result == 0 && watch.is_spent() && ::epoll_wait(set.get(), &event, 1, 0) != 1) {
      armed.event = watch.event;
      result = ::epoll_ctl(set.get(), EPOLL_CTL_MOD, number, &armed.event);
    }
    const int error = errno;
    if (kept) {
      static_cast<void>(::dup3(kept.get(), number, O_CLOEXEC));
    } else {
      const Fd taken_off(number);
    }
    if (result != 0) throw_errno("restoring an epoll set", fmt::format("number {}", number), error);
  }
};

}  // namespace

FdRestorerPtr make_epoll_restorer() {
  return std::make_unique<Epolls>();
}

}  // namespace crx
