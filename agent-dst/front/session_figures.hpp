// What has been seen of one session in passing.
#pragma once

#include <cstdint>
#include <string>

namespace crx::front {

struct SessionFigures {
  std::string id, peer;
  const char* state = "receiving";  // receiving, frozen, prepared, resumed, over
  int64_t age_us = 0;               // since its Hello
  uint64_t wire_bytes = 0;          // payloads of frames, before TLS
  uint64_t content_pages = 0, zero_pages = 0;
  unsigned processes = 0;    // of the last layout, without zombies: these have vessels, or have been moved
  int64_t downtime_us = -1;  // of the tree, as far as can be told here; -1: it has not been resumed
};

}  // namespace crx::front
