// Reads the content of a pipe or FIFO without taking it out.
#pragma once

#include <fcntl.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent-src/collect/kind/fd_kind.hpp"

namespace crx {

// Which ends of a pipe a descriptor has.
inline bool can_read(const OpenFile& file) {
  return (file.info.flags & O_ACCMODE) != O_WRONLY;
}
inline bool can_write(const OpenFile& file) {
  return (file.info.flags & O_ACCMODE) != O_RDONLY;
}

struct PipeContent {
  uint32_t capacity = 0;  // F_GETPIPE_SZ, bytes
  std::string bytes;
  std::vector<uint32_t> packets;  // for a pipe in packet mode (O_DIRECT): the sizes of its packets, in bytes
};

// Reads through our duplicate of a readable descriptor; tee(2) leaves the content where it is. The task is frozen.
// Throws Error(kernel).
PipeContent peek_pipe(const OpenFile& reader);

// Whether the other end is open, in the tree or outside (poll(2) on our duplicate).
bool other_end_is_open(const OpenFile& end);

// The same for a running task: opens an end of our own and closes it again. we_read: the task has the reading end only;
// otherwise the writing end only.
bool other_end_answers(const OpenFile& end, bool we_read);

struct PipeHolder {
  pid_t pid = 0;
  int fd = -1;
  std::string comm;
};

struct HeldFile {
  dev_t dev = 0;
  ino_t ino = 0;
  auto operator<=>(const HeldFile&) const = default;
};
// Returns the processes outside the tree of `inside` that have this file open, one entry each. with_us: include our own
// process (not while we hold duplicates). link: the text of their /proc/PID/fd links ("pipe:[4711]", a path). Looks at
// every descriptor of every visible process, which takes milliseconds.
std::vector<PipeHolder> external_holders(HeldFile file, std::string_view link, const OpenFile& inside, bool with_us);
// "pid 12 (sh) fd 1", "pid 12 (sh) fd 1 and 2 more"
std::string describe(const std::vector<PipeHolder>& holders);

// Appends one entry with its bytes to pipes-data.img or fifo-data.img.
void append_pipe_data(std::string_view image, uint32_t pipe_id, const PipeContent& content, ImageSink& images);

}  // namespace crx
