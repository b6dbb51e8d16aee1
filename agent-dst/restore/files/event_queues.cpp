#include "agent-dst/restore/files/event_queues.hpp"

#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/base/log.hpp"

namespace crx {
namespace {

// Closes the descriptors that fanotify opens in our process, one per event.
void close_descriptors(const char* events, ssize_t size) {
  fanotify_event_metadata event{};
  for (std::size_t at = 0, end = static_cast<std::size_t>(size); at + sizeof event <= end; at += event.event_len) {
    std::memcpy(&event, events + at, sizeof event);
    if (event.event_len < sizeof event) return;
    const Fd file(event.fd);
  }
}

// A read of the description may block if there is nothing to read, so ask first.
bool has_events(int fd) {
  int bytes = 0;
  return ::ioctl(fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

}  // namespace

void EventQueues::add(int fd, Kind kind) {
  queues_.push_back({duplicate(fd), kind});
}

void EventQueues::empty() noexcept {
  alignas(fanotify_event_metadata) char events[8192];
  for (const Queue& queue : queues_) {
    while (has_events(queue.fd.get())) {
      const ssize_t size = ::read(queue.fd.get(), events, sizeof events);
      if (size <= 0) {
        log::warn("events that the move itself has caused stay in a queue: {}", std::strerror(errno));
        break;
      }
      if (queue.kind == Kind::fanotify) close_descriptors(events, size);
    }
  }
}

}  // namespace crx
