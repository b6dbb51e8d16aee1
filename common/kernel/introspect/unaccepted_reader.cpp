#include "common/kernel/introspect/unaccepted_reader.hpp"

#include <cerrno>
#include <cstring>
#include <sstream>
#include <utility>

#include "common/base/fd.hpp"
#include "common/kernel/introspect/bpf/records.h"
#include "common/kernel/introspect/bpf_iterator.hpp"

namespace crx {
namespace {

constexpr std::size_t kMostBytes = 64 << 20;
constexpr char kUnreadable[] = "it cannot be read";
constexpr char kChanged[] = "it changes while it is read";

// Returns whether user IDs in this user namespace are the kernel's own.
bool has_kernel_user_ids() {
  std::istringstream map(try_read_file("/proc/self/uid_map").value_or(""));
  uint64_t first = 1, outer = 1, count = 0;
  map >> first >> outer >> count;
  return first == 0 && outer == 0 && count == UINT32_MAX;
}

const char* describe(uint32_t trouble) {
  switch (trouble) {
    case CRX_FINE:
      return "";
    case CRX_RIGHTS:
      return "descriptors were passed with it";
    case CRX_URGENT:
      return "some of it is urgent (MSG_OOB)";
    case CRX_PAGED:
      return "more than 3 KiB of it were sent at once";
    default:
      return kUnreadable;
  }
}

// Parses the output of one run of the program and appends it to `queue`. items: increased by the number of connections
// and buffers in the output. Returns false where another run has to read the rest.
bool parse(const std::string& bytes, UnacceptedQueue& queue, unsigned& items) {
  std::size_t at = 0;
  for (crx_unaccepted_record record{}; bytes.size() - at >= sizeof record;) {
    std::memcpy(&record, bytes.data() + at, sizeof record);
    at += sizeof record;
    if (record.trouble != CRX_FINE) {
      queue.trouble = describe(record.trouble);
      return true;
    }
    if (record.kind == CRX_END) return record.bytes == 0;
    if (bytes.size() - at < record.bytes) break;
    const std::string content = bytes.substr(at, record.bytes);
    const ucred who{record.pid, record.uid, record.gid};
    at += record.bytes;
    ++items;
    if (record.kind == CRX_CONNECTION) {
      queue.connections.push_back({who, content, {}});
    } else if (!queue.connections.empty()) {
      queue.connections.back().sent.push_back({content, who});
    }
  }
  queue.trouble = kUnreadable;
  return true;
}

}  // namespace

int UnacceptedReader::open(std::optional<UnacceptedReader>& reader) {
  if (!has_kernel_user_ids()) return EPERM;
  crx_unaccepted_programs programs{};
  const int error = crx_load_unaccepted_programs(&programs);
  if (error == 0) reader = UnacceptedReader(programs);
  return error;
}

// Reads the queue once, by as many runs of the program as it needs. Appends their output to `raw`.
UnacceptedQueue UnacceptedReader::read_once(std::string& raw) const {
  UnacceptedQueue queue;
  for (unsigned items = 0;;) {
    *programs_.first_item = items;
    const std::string part = run_iterator(programs_.connections);
    raw += part;
    const unsigned before = items;
    if (parse(part, queue, items)) return queue;
    if (items == before || raw.size() > kMostBytes) {
      queue.trouble = kUnreadable;
      return queue;
    }
  }
}

UnacceptedQueue UnacceptedReader::read(uint64_t listener_inode) const {
  *programs_.listener_inode = listener_inode;
  std::string first, second;
  UnacceptedQueue queue = read_once(first);
  if (queue.trouble.empty()) {
    read_once(second);
    if (first != second) queue.trouble = kChanged;
  }
  if (!queue.trouble.empty()) queue.connections.clear();
  return queue;
}

}  // namespace crx
