// What lies in a pipe or FIFO, looked at without taking it out.
#pragma once

#include <fcntl.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent-src/collect/kind/fd_kind.hpp"

namespace crx {

// Which ends of a pipe a descriptor is.
inline bool can_read(const OpenFile& file) {
  return (file.info.flags & O_ACCMODE) != O_WRONLY;
}
inline bool can_write(const OpenFile& file) {
  return (file.info.flags & O_ACCMODE) != O_RDONLY;
}

struct PipeContent {
  uint32_t capacity = 0;  // F_GETPIPE_SZ, bytes
  std::string bytes;
  std::vector<uint32_t> packets;  // of a pipe in packet mode (O_DIRECT): the sizes of its packets
};

// Through our duplicate of a descriptor that may read; tee(2) leaves the content where it is. The task is frozen.
PipeContent peek_pipe(const OpenFile& reader);

// Whether somebody, in the task or outside, holds the other end of this end (poll(2) on our duplicate).
bool other_end_is_open(const OpenFile& end);

// The same of a running task, through an end of our own that is opened and closed again. we_read: the task has the
// reading end only, else the writing end only.
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
// Processes that do not move along with `inside` and have this file open, one entry each. with_us: count ourselves, too
// (not while we have duplicates). link: what their /proc/PID/fd links to it show ("pipe:[4711]", a path). Every
// descriptor of every process we may see is looked at: this takes milliseconds.
std::vector<PipeHolder> external_holders(HeldFile file, std::string_view link, const OpenFile& inside, bool with_us);
// "pid 12 (sh) fd 1", "pid 12 (sh) fd 1 and 2 more"
std::string describe(const std::vector<PipeHolder>& holders);

// pipes-data.img or fifo-data.img: one entry with its bytes.
void append_pipe_data(std::string_view image, uint32_t pipe_id, const PipeContent& content, ImageSink& images);

}  // namespace crx
