#include "agent-dst/restore/ipc/pipe_filler.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/pipes.pb.h"

namespace crx {

std::map<uint32_t, PipeData> read_pipe_data(const ImageSource& images, std::string_view image) {
  std::map<uint32_t, PipeData> all;
  if (!images.contains(image)) return all;
  ImageReader reader = images.reader(image);
  while (!reader.at_end()) {
    const auto entry = reader.expect<img::pipe_data_entry>();
    PipeData data{entry.size(), reader.raw(entry.bytes())};
    if (!all.try_emplace(entry.pipe_id(), data).second) reader.fail("the pipe's content is there already");
  }
  return all;
}

void set_pipe_capacity(int fd, uint32_t capacity, std::size_t content, const std::string& object) {
  const int now = ::fcntl(fd, F_GETPIPE_SZ);
  if (now < 0) throw_errno("restoring a pipe", object);
  if (capacity == 0 || static_cast<uint32_t>(now) == capacity) return;
  if (::fcntl(fd, F_SETPIPE_SZ, capacity) >= 0) return;
  if (errno != EPERM) throw_errno("restoring a pipe", object);
  if (content > static_cast<std::size_t>(now)) {
    throw Error(ErrorCode::refused, "restoring a pipe",
                fmt::format("{}: {} bytes lie in it, and we may not make it larger than {}", object, content, now))
        .with_hint(fmt::format("set fs.pipe-max-size to at least {} here", capacity));
  }
  log::warn("{}: its capacity stays {} instead of {} bytes; set fs.pipe-max-size to at least that", object, now,
            capacity);
}

void fill_pipe(int fd, std::span<const std::byte> bytes, const std::vector<uint32_t>& packets,
               const std::string& object) {
  if (bytes.empty()) return;
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, O_NONBLOCK | (packets.empty() ? 0 : O_DIRECT)) != 0) {
    throw_errno("restoring a pipe", object);
  }
  const auto put = [&](std::span<const std::byte> part) {
    const ssize_t n = ::write(fd, part.data(), part.size());
    if (n != static_cast<ssize_t>(part.size())) throw_errno("filling a pipe", object, n < 0 ? errno : EAGAIN);
  };
  std::size_t done = 0;
  for (const uint32_t size : packets) {
    if (size == 0 || size > bytes.size() - done) {
      throw Error(ErrorCode::corrupt_image, "filling a pipe", object + ": its packets do not add up");
    }
    put(bytes.subspan(done, size));
    done += size;
  }
  if (!packets.empty() && done != bytes.size()) {
    throw Error(ErrorCode::corrupt_image, "filling a pipe", object + ": its packets do not add up");
  }
  if (packets.empty()) put(bytes);
  if (::fcntl(fd, F_SETFL, flags) != 0) throw_errno("restoring a pipe", object);
}

}  // namespace crx
