#include "agent-dst/restore/kind/fd_restorer.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include "common/base/error.hpp"

namespace crx {

const img::crx_file_entry& FdRestoreContext::extra(uint32_t id) const {
  for (const img::crx_file_entry& entry : task.extra.files()) {
    if (entry.id() == id) return entry;
  }
  return img::crx_file_entry::default_instance();
}

const FdPlace& FdRestoreContext::place_of(uint32_t id) const {
  const auto found = places.find(id);
  if (found == places.end() || found->second.empty()) {
    throw Error(ErrorCode::corrupt_image, "restoring descriptors",
                fmt::format("file {} has no number in any task", id));
  }
  return found->second.front();
}

pid_t FdRestoreContext::opener_of(uint32_t id) const {
  const auto found = places.find(id);
  return found == places.end() || found->second.empty() ? task.pid : found->second.front().task->pid;
}

void set_status_flags(int fd, uint32_t flags, const std::string& object) {
  constexpr uint32_t kSettable = O_APPEND | O_DIRECT | O_NOATIME | O_NONBLOCK;
  const int now = ::fcntl(fd, F_GETFL);
  if (now < 0) throw_errno("setting file status flags", object);
  if ((static_cast<uint32_t>(now) & kSettable) == (flags & kSettable)) return;
  if (::fcntl(fd, F_SETFL, static_cast<int>(flags & kSettable)) != 0) throw_errno("setting file status flags", object);
}

std::string describe(const char* kind, uint32_t id, const FdRestoreContext& context) {
  const auto found = context.places.find(id);
  if (found == context.places.end() || found->second.empty()) return fmt::format("{} (file {})", kind, id);
  return fmt::format("{} (pid {} fd {})", kind, found->second.front().task->pid, found->second.front().fd);
}

}  // namespace crx
