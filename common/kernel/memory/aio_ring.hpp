// The ring of an asynchronous I/O context (io_setup(2)) as the kernel maps it into the process: fs/aio.c, struct
// aio_ring.
#pragma once

#include <linux/aio_abi.h>

#include <cstdint>

namespace crx {

struct AioRingHeader {
  uint32_t id;  // index of the context in a table of the kernel
  uint32_t events;
  uint32_t head, tail;
  uint32_t magic;
  uint32_t compatible_features, incompatible_features;
  uint32_t header_bytes;
};
static_assert(sizeof(AioRingHeader) == 32 && sizeof(io_event) == 32);

inline constexpr uint32_t kAioRingMagic = 0xa10a10a1;

// How many events fit into a ring of this many bytes, and the number to pass to io_setup(2) to get a ring of that size.
// The kernel makes room for twice as many events and two more, in whole pages, but for at least eight per CPU.
inline uint32_t aio_ring_events(uint64_t bytes) {
  return static_cast<uint32_t>((bytes - sizeof(AioRingHeader)) / sizeof(io_event));
}
inline uint32_t aio_ring_request(uint64_t bytes) {
  return aio_ring_events(bytes) / 2 - 2;
}

}  // namespace crx
