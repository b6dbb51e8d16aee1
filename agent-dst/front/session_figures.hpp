// The figures of one session for the metrics pages, as far as the front can observe them.
#pragma once

#include <cstdint>
#include <string>

namespace crx::front {

struct SessionFigures {
  std::string id, peer;
  const char* state = "receiving";  // receiving, frozen, prepared, resumed, over
  int64_t age_us = 0;               // since Hello
  uint64_t wire_bytes = 0;          // frame payloads, before TLS
  uint64_t content_pages = 0, zero_pages = 0;
  unsigned processes = 0;    // in the last layout, without zombies: these have vessels or have been moved
  int64_t downtime_us = -1;  // downtime of the tree, as far as it is known here; -1: not resumed
};

}  // namespace crx::front
