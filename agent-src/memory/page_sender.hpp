// Reads pages and puts them into a sink, batch by batch.
#pragma once

#include <cstdint>
#include <vector>

#include "agent-src/memory/page_hashes.hpp"
#include "agent-src/memory/page_sink.hpp"
#include "common/kernel/memory/memory_reader.hpp"

namespace crx {

struct SendOutcome {
  uint64_t put_pages = 0;         // given to the sink
  uint64_t unchanged_pages = 0;   // read, but the same as sent before
  std::vector<PageRange> failed;  // could not be read; ascending
};

// Throws where pages of a stopped process could not be read: Error(victim_gone) if that is since it was killed, else
// Error(refused).
void require_all_read(const SendOutcome& outcome, const MemoryReader& reader);

// Sends the pages of `ranges` (ascending, disjoint). With `hashes`, only those whose content is not what they
// record. Passes on what the sink throws.
SendOutcome send_pages(PageSpace space, const std::vector<PageRange>& ranges, PageReader& reader, PageSink& sink,
                       PageHashes* hashes);

}  // namespace crx
