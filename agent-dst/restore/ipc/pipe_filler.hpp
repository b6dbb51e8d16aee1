// Filling pipes and FIFOs that nobody else has yet.
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
  uint32_t capacity = 0;  // 0: not told
  std::span<const std::byte> bytes;
};

// By pipe id. Points into the images.
std::map<uint32_t, PipeData> read_pipe_data(const ImageSource& images, std::string_view image);

// F_SETPIPE_SZ, where it differs. A capacity over fs.pipe-max-size that we may not set is warned about as long as
// `content` fits into what the pipe has; else Error(refused).
void set_pipe_capacity(int fd, uint32_t capacity, std::size_t content, const std::string& object);

// Writes the content without blocking; in packets of these sizes where there are any. Throws Error naming the object
// when not all of it fits.
void fill_pipe(int fd, std::span<const std::byte> bytes, const std::vector<uint32_t>& packets,
               const std::string& object);

}  // namespace crx
