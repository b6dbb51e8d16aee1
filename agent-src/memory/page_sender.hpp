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
  uint64_t unchanged_pages = 0;   // read, but equal to what was sent before
  std::vector<PageRange> failed;  // pages that could not be read; ascending
};

// Throws if pages of a stopped process could not be read: Error(victim_gone) if the process has been killed, otherwise
// Error(refused).
void require_all_read(const SendOutcome& outcome, const MemoryReader& reader);

// Sends the pages of `ranges` (ascending, disjoint). With `hashes` it sends only pages whose content differs from the
// recorded digest, and records the new ones. Exceptions of the sink pass through; all records of `ranges` are deleted
// then.
SendOutcome send_pages(PageSpace space, const std::vector<PageRange>& ranges, PageReader& reader, PageSink& sink,
                       PageHashes* hashes);

}  // namespace crx
