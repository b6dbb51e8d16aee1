// epoll(7): the watched descriptors, their events and data.
#include <fmt/format.h>
#include <unistd.h>

#include <map>

#include "agent-src/collect/kind/fd_kind.hpp"
#include "common/kernel/process/kcmp.hpp"

namespace crx {
namespace {

class Epolls final : public FdKind {
 public:
  const char* name() const override { return "epoll"; }
  bool matches(const OpenFile& file) const override { return file.is_anonymous("anon_inode:[eventpoll]"); }

  void collect(OpenFile& file, FdContext& context, img::file_entry& entry) override {
    entry.set_type(img::EVENTPOLL);
    img::eventpoll_file_entry& epfd = *entry.mutable_epfd();
    epfd.set_id(file.id);
    epfd.set_flags(file.info.flags);
    *epfd.mutable_fown() = read_file_owner(file);
    std::map<int, uint32_t> seen;  // how often a number has occurred
    for (const proc::EpollTarget& target : file.info.epoll_targets) {
      const uint32_t index = static_cast<uint32_t>(epfd.tfd_size());
      const uint32_t toff = seen[target.fd]++;
      img::eventpoll_tfd_entry& tfd = *epfd.add_tfd();
      tfd.set_id(0);
      tfd.set_tfd(static_cast<uint32_t>(target.fd));
      tfd.set_events(target.events);
      tfd.set_data(target.data);
      tfd.set_dev(target.sdev);
      tfd.set_inode(target.inode);
      tfd.set_pos(static_cast<uint64_t>(target.pos));
      const uint32_t watched = find_target(file, target, toff, context);
      if (watched == 0) continue;
      img::crx_epoll_target& moved = *context.extra(file).add_epoll_targets();
      moved.set_index(index);
      moved.set_file_id(watched);
    }
  }

 private:
  // A set in flight in a socket has no number in any task; then the question is asked about our own duplicates.
  static bool is_target(const OpenFile& set, TaskFd file, const proc::EpollTarget& target, uint32_t toff) {
    const TaskFd held = set.numbers.empty() ? TaskFd{::getpid(), set.own.get()} : TaskFd{set.pid, set.fd()};
    return is_epoll_target(file, held, static_cast<uint32_t>(target.fd), toff);
  }

  // Returns the id of the watched description; 0 if the number under which it was added still leads to it in the
  // (first) task that has the set.
  static uint32_t find_target(const OpenFile& set, const proc::EpollTarget& target, uint32_t toff, FdContext& context) {
    for (const OpenFile& file : context.files) {
      for (const OpenFile::Number& number : file.numbers) {
        const bool leads = !set.numbers.empty() && number.pid == set.pid && number.fd == target.fd;
        if (leads && is_target(set, {number.pid, number.fd}, target, toff)) return 0;
      }
    }
    for (const OpenFile& file : context.files) {
      if (file.st.st_ino == target.inode && is_target(set, {::getpid(), file.own.get()}, target, toff)) return file.id;
    }
    refuse(set, fmt::format("it watches a file that was descriptor {} and is open only outside the program", target.fd),
           "end the process that has it open");
  }
};

}  // namespace

FdKindPtr make_epolls() {
  return std::make_unique<Epolls>();
}

}  // namespace crx
