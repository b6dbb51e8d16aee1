#include "common/kernel/introspect/unix_arrivals.hpp"

#include <fcntl.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <sstream>
#include <utility>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/page.hpp"

namespace crx {
namespace {

constexpr std::size_t kMostWaiting = 65'536;
constexpr std::size_t kMostBytes = 64 << 20;  // over one connection

// Users are numbered here as in the kernel.
bool users_are_the_kernels() {
  std::istringstream map(read_file("/proc/self/uid_map"));
  uint64_t first = 1, outer = 1, count = 0;
  map >> first >> outer >> count;
  return first == 0 && outer == 0 && count == UINT32_MAX;
}

}  // namespace

std::optional<UnacceptedReader> UnacceptedReader::open() {
  std::optional<KernelReader> reader = KernelReader::open();
  if (!reader) return std::nullopt;
  try {
    if (!users_are_the_kernels()) return std::nullopt;
    return UnacceptedReader(std::move(*reader));
  } catch (const Error&) {
    return std::nullopt;
  }
}

UnacceptedReader::UnacceptedReader(KernelReader reader) : reader_(std::move(reader)) {
  at_.files = reader_.offset("task_struct", "files");
  at_.table = reader_.offset("files_struct", "fdt");
  at_.slots = reader_.offset("fdtable", "fd");
  at_.data = reader_.offset("file", "private_data");
  at_.sk = reader_.offset("socket", "sk");
  at_.queue = reader_.offset("sock", "sk_receive_queue");
  at_.next = reader_.offset("sk_buff", "next");
  at_.owner = reader_.offset("sk_buff", "sk");
  at_.peer = reader_.offset("unix_sock", "peer");
  at_.address = reader_.offset("unix_sock", "addr");
  at_.name_bytes = reader_.offset("unix_address", "len");
  at_.name = reader_.offset("unix_address", "name");
  at_.peer_pid = reader_.offset("sock", "sk_peer_pid");
  at_.peer_cred = reader_.offset("sock", "sk_peer_cred");
  at_.euid = reader_.offset("cred", "euid");
  at_.egid = reader_.offset("cred", "egid");
  at_.bytes = reader_.offset("sk_buff", "len");
  at_.paged_bytes = reader_.offset("sk_buff", "data_len");
  at_.begin = reader_.offset("sk_buff", "data");
  at_.control = reader_.offset("sk_buff", "cb");
  at_.pid = reader_.offset("unix_skb_parms", "pid");
  at_.uid = reader_.offset("unix_skb_parms", "uid");
  at_.gid = reader_.offset("unix_skb_parms", "gid");
  at_.passed = reader_.offset("unix_skb_parms", "fp");
  at_.level = reader_.offset("pid", "level");
  at_.numbers = reader_.offset("pid", "numbers");
  at_.number_bytes = reader_.size("upid");
  at_.number = reader_.offset("upid", "nr");
  at_.space = reader_.offset("upid", "ns");
  at_.head = reader_.offset("sk_buff", "head");
  at_.end = reader_.offset("sk_buff", "end");
  at_.count = reader_.offset("skb_shared_info", "nr_frags");
  at_.parts = reader_.offset("skb_shared_info", "frags");
  try {
    at_.part_bytes = reader_.size("skb_frag");
    at_.part_page = reader_.offset("skb_frag", "netmem");
    at_.part_length = reader_.offset("skb_frag", "len");
    at_.part_from = reader_.offset("skb_frag", "offset");
  } catch (const Error&) {  // before Linux 6.10
    at_.part_bytes = reader_.size("bio_vec");
    at_.part_page = reader_.offset("bio_vec", "bv_page");
    at_.part_length = reader_.offset("bio_vec", "bv_len");
    at_.part_from = reader_.offset("bio_vec", "bv_offset");
  }
  try {
    at_.urgent = reader_.offset("unix_sock", "oob_skb");
  } catch (const Error&) {  // CONFIG_AF_UNIX_OOB is off
  }
  const uint64_t own = reader_.word(reader_.current_task() + reader_.offset("task_struct", "thread_pid"));
  level_ = reader_.half(own + at_.level);
  space_ = reader_.word(own + at_.numbers + level_ * at_.number_bytes + at_.space);
}

uint64_t UnacceptedReader::socket_of(int fd) const {
  const uint64_t table = reader_.word(reader_.word(reader_.current_task() + at_.files) + at_.table);
  const uint64_t file = reader_.word(reader_.word(table + at_.slots) + static_cast<uint64_t>(fd) * sizeof(uint64_t));
  return reader_.word(reader_.word(file + at_.data) + at_.sk);
}

// The buffers in a socket's queue, which is a ring with its head.
std::vector<uint64_t> UnacceptedReader::queue_of(uint64_t sock, bool& whole) const {
  std::vector<uint64_t> buffers;
  const uint64_t head = sock + at_.queue;
  uint64_t next = reader_.word(head + at_.next);
  for (; next != 0 && next != head && buffers.size() < kMostWaiting; next = reader_.word(next + at_.next))
    buffers.push_back(next);
  whole = next == head;
  return buffers;
}

// In our PID namespace; 0 for one of another.
pid_t UnacceptedReader::number_of(uint64_t pid) const {
  if (pid == 0 || reader_.half(pid + at_.level) < level_) return 0;
  const uint64_t here = pid + at_.numbers + level_ * at_.number_bytes;
  return reader_.word(here + at_.space) == space_ ? static_cast<pid_t>(reader_.half(here + at_.number)) : 0;
}

bool UnacceptedReader::read_sent(uint64_t buffer, UnacceptedConnection::Sent& sent) const {
  const uint64_t control = buffer + at_.control;
  const uint32_t bytes = reader_.half(buffer + at_.bytes);
  const uint32_t paged = reader_.half(buffer + at_.paged_bytes);
  if (reader_.word(control + at_.passed) != 0 || bytes > kMostBytes || paged > bytes) return false;
  sent.sender = {number_of(reader_.word(control + at_.pid)), reader_.half(control + at_.uid),
                 reader_.half(control + at_.gid)};
  sent.bytes.resize(bytes);
  const uint64_t begin = reader_.word(buffer + at_.begin);
  const std::size_t direct = bytes - paged;
  for (std::size_t done = 0; done < direct;) {
    const std::size_t part = std::min(direct - done, KernelReader::kMostBytes);
    if (!reader_.copy(begin + done, sent.bytes.data() + done, part)) return false;
    done += part;
  }
  return paged == 0 || read_paged(buffer, sent.bytes.data() + direct, paged);
}

// What did not fit the buffer itself, from some 3700 bytes on.
bool UnacceptedReader::read_paged(uint64_t buffer, char* to, std::size_t bytes) const {
  if (!pages_)
    pages_.emplace(KernelPages::find(reader_, [this](const std::byte* page) { return descriptor_of(page); }));
  if (!*pages_) return false;
  const uint64_t parts = reader_.word(buffer + at_.head) + reader_.half(buffer + at_.end);
  const unsigned count = reader_.half(parts + at_.count) & 0xff;
  std::size_t done = 0;
  for (unsigned i = 0; i < count; ++i) {
    const uint64_t part = parts + at_.parts + i * at_.part_bytes;
    const uint32_t length = reader_.half(part + at_.part_length);
    if (length > bytes - done) return false;
    if (!(*pages_)->copy(reader_, reader_.word(part + at_.part_page), reader_.half(part + at_.part_from), to + done,
                         length))
      return false;
    done += length;
  }
  return done == bytes;
}

// The page itself is what waits in a socket of ours, uncopied.
uint64_t UnacceptedReader::descriptor_of(const std::byte* page) const {
  int pair[2], pipe[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) return 0;
  const Fd from(pair[0]), to(pair[1]);
  if (::pipe2(pipe, O_CLOEXEC | O_NONBLOCK) != 0) return 0;
  const Fd out(pipe[0]), in(pipe[1]);
  iovec whole{const_cast<std::byte*>(page), kPageSize};
  if (::vmsplice(in.get(), &whole, 1, 0) != static_cast<ssize_t>(kPageSize)) return 0;
  if (::splice(out.get(), nullptr, from.get(), nullptr, kPageSize, 0) != static_cast<ssize_t>(kPageSize)) return 0;
  bool complete = false;
  const std::vector<uint64_t> buffers = queue_of(socket_of(to.get()), complete);
  if (!complete || buffers.size() != 1 || reader_.half(buffers[0] + at_.paged_bytes) != kPageSize) return 0;
  const uint64_t part = reader_.word(buffers[0] + at_.head) + reader_.half(buffers[0] + at_.end) + at_.parts;
  return reader_.half(part + at_.part_length) == kPageSize && reader_.half(part + at_.part_from) == 0
             ? reader_.word(part + at_.part_page)
             : 0;
}

// Of the client, which lives as long as its other end, closed or not.
bool UnacceptedReader::read_name(uint64_t end, std::string& name) const {
  const uint64_t address = reader_.word(reader_.word(end + at_.peer) + at_.address);
  if (address == 0) return true;
  constexpr std::size_t kHead = offsetof(sockaddr_un, sun_path);
  const uint32_t bytes = reader_.half(address + at_.name_bytes);
  if (bytes < kHead || bytes > sizeof(sockaddr_un) + 1) return false;
  name.resize(bytes - kHead);
  return name.empty() || reader_.copy(address + at_.name + kHead, name.data(), name.size());
}

bool UnacceptedReader::read(uint64_t end, UnacceptedConnection& unaccepted_connection) const {
  if (end == 0 || (at_.urgent && reader_.word(end + *at_.urgent) != 0)) return false;
  const uint64_t who = reader_.word(end + at_.peer_cred);
  unaccepted_connection.connector = {number_of(reader_.word(end + at_.peer_pid)), reader_.half(who + at_.euid),
                                     reader_.half(who + at_.egid)};
  if (who == 0 || !read_name(end, unaccepted_connection.name)) return false;
  bool whole = false;
  std::size_t bytes = 0;
  for (const uint64_t buffer : queue_of(end, whole)) {
    if (!read_sent(buffer, unaccepted_connection.sent.emplace_back())) return false;
    bytes += unaccepted_connection.sent.back().bytes.size();
    if (bytes > kMostBytes) return false;
  }
  return whole;
}

std::optional<std::vector<UnacceptedConnection>> UnacceptedReader::at(int fd) const {
  std::vector<UnacceptedConnection> unaccepted;
  bool whole = false;
  for (const uint64_t buffer : queue_of(socket_of(fd), whole)) {
    if (!read(reader_.word(buffer + at_.owner), unaccepted.emplace_back())) return std::nullopt;
  }
  if (!whole) return std::nullopt;
  return unaccepted;
}

}  // namespace crx
