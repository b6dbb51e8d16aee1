#include "agent-src/collect/ipc/pipe_content.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <vector>

#include "common/base/error.hpp"
#include "common/image/schema/pipes.pb.h"
#include "common/proc/proc_dir.hpp"

namespace crx {
namespace {

// Returns the first number under which a process has the file open; nothing if it has not, or has gone.
std::optional<int> number_of(const ProcDir& process, HeldFile file, std::string_view link) {
  for (const int fd : process.descriptors().value_or(std::vector<int>())) {
    struct stat st {};
    if (process.descriptor(fd).value_or("") != link) continue;
    if (::fstatat(process.fd(), fmt::format("fd/{}", fd).c_str(), &st, 0) != 0) continue;
    if (st.st_dev == file.dev && st.st_ino == file.ino) return fd;
  }
  return std::nullopt;
}

}  // namespace

PipeContent peek_pipe(const OpenFile& reader) {
  PipeContent content;
  const int capacity = ::fcntl(reader.own.get(), F_GETPIPE_SZ);
  int queued = 0;
  if (capacity < 0 || ::ioctl(reader.own.get(), FIONREAD, &queued) != 0)
    throw_errno("looking at a pipe", reader.label());
  content.capacity = static_cast<uint32_t>(capacity);
  if (queued == 0) return content;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) throw_errno("copying a pipe", reader.label());
  const Fd out(ends[0]);
  const Fd in(ends[1]);
  if (::fcntl(in.get(), F_GETPIPE_SZ) < capacity && ::fcntl(in.get(), F_SETPIPE_SZ, capacity) < 0) {
    throw Error(ErrorCode::refused, "copying a pipe", reader.label() + ": its capacity is over our own limit", errno)
        .with_hint(fmt::format("set fs.pipe-max-size to at least {}", capacity));
  }
  const ssize_t copied = ::tee(reader.own.get(), in.get(), static_cast<std::size_t>(capacity), SPLICE_F_NONBLOCK);
  if (copied != queued) throw_errno("copying a pipe", reader.label(), copied < 0 ? errno : EIO);
  content.bytes.resize(static_cast<std::size_t>(queued));
  for (std::size_t done = 0; done < content.bytes.size();) {
    // In packet mode every read returns one packet.
    const ssize_t n = ::read(out.get(), content.bytes.data() + done, content.bytes.size() - done);
    if (n <= 0) throw_errno("copying a pipe", reader.label(), n < 0 ? errno : EIO);
    content.packets.push_back(static_cast<uint32_t>(n));
    done += static_cast<std::size_t>(n);
  }
  return content;
}

bool other_end_is_open(const OpenFile& end) {
  pollfd entry{end.own.get(), POLLIN | POLLOUT, 0};
  if (::poll(&entry, 1, 0) < 0) throw_errno("looking at a pipe", end.label());
  return (entry.revents & (can_read(end) ? POLLHUP : POLLERR)) == 0;
}

bool other_end_answers(const OpenFile& end, bool we_read) {
  const std::string link = fmt::format("/proc/{}/fd/{}", end.pid, end.fd());
  const Fd again = try_open(link, (we_read ? O_RDONLY : O_WRONLY) | O_NONBLOCK);
  pollfd entry{again.get(), POLLIN | POLLOUT, 0};
  if (!again || ::poll(&entry, 1, 0) < 0) return false;
  return (entry.revents & (we_read ? POLLHUP : POLLERR)) == 0;
}

std::vector<PipeHolder> external_holders(HeldFile file, std::string_view link, const OpenFile& inside, bool with_us) {
  std::vector<PipeHolder> holders;
  for (const pid_t pid : list_processes()) {
    if (inside.is_in_tree(pid) || (!with_us && pid == ::getpid())) continue;
    const std::optional<ProcDir> process = ProcDir::open(pid);
    const std::optional<int> fd = process ? number_of(*process, file, link) : std::nullopt;
    if (fd) holders.push_back({pid, *fd, process->comm().value_or("?")});
  }
  return holders;
}

std::string describe(const std::vector<PipeHolder>& holders) {
  if (holders.empty()) return "a process that cannot be seen from here";
  const PipeHolder& first = holders.front();
  const std::string text = fmt::format("pid {} ({}) fd {}", first.pid, first.comm, first.fd);
  return holders.size() == 1 ? text : fmt::format("{} and {} more", text, holders.size() - 1);
}

void append_pipe_data(std::string_view image, uint32_t pipe_id, const PipeContent& content, ImageSink& images) {
  img::pipe_data_entry entry;
  entry.set_pipe_id(pipe_id);
  entry.set_bytes(static_cast<uint32_t>(content.bytes.size()));
  entry.set_size(content.capacity);
  images.append(image, entry);
  images.append_raw(image, std::as_bytes(std::span(content.bytes)));
}

}  // namespace crx
