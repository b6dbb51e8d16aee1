// Fills pipes and FIFOs that no other process uses yet.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/image/image_io.hpp"

namespace crx {

struct PipeData {
  uint32_t capacity = 0;  // bytes; 0: unknown
  std::span<const std::byte> bytes;
};

// Reads the contents, keyed by pipe id. The spans point into the images.
std::map<uint32_t, PipeData> read_pipe_data(const ImageSource& images, std::string_view image);

// Calls fcntl(F_SETPIPE_SZ) if the capacity differs. If it is over fs.pipe-max-size and we may not set it: logs a
// warning if `content` bytes fit into the pipe as it is, otherwise throws Error(refused).
void set_pipe_capacity(int fd, uint32_t capacity, std::size_t content, const std::string& object);

// Writes the content without blocking, in packets of these sizes if there are any. Throws Error that names the object
// if not all of it fits.
void fill_pipe(int fd, std::span<const std::byte> bytes, const std::vector<uint32_t>& packets,
               const std::string& object);

}  // namespace crx
