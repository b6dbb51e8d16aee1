// The place that a dump goes to: a directory here, or the store of an agent on another host.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent-src/dump/dump_options.hpp"
#include "agent-src/memory/page_sink.hpp"
#include "common/image/integrity.hpp"
#include "common/image/page_digests.hpp"

namespace crx {

// The set that a new one continues.
struct ParentSet {
  std::string id;                                     // the manifest's id; empty if CRIU made the set
  bool check_only = false;                            // the set has no pages
  std::map<PageSpace, std::vector<PageRange>> pages;  // pages that the set and its own parents have, ascending
  std::map<uint64_t, PageDigests> objects;            // digests of its shared memory, by the id of the space
};

// A set while it is being made. Nobody can see any of it until publish() returns; if the store is destroyed before, it
// removes what it has written. To be called from one thread; until finish_pages() the store may have other threads of
// its own.
class DumpStore {
 public:
  virtual ~DumpStore() = default;

  // Returns the parent that the options name, or nullopt if they name none. Throws Error if there is no such set.
  virtual std::optional<ParentSet> parent() = 0;
  // Returns the sink for everything but pages. The store owns it.
  virtual ImageSink& images() = 0;

  // Pages are written in this order: begin_pages(); then, for each space, begin() and the pages in ascending order;
  // then finish_pages(), which returns when all are written. in_parent of finish_pages(): by space, the pages that are
  // left to the parent. All throw Error if the store cannot be written.
  virtual void begin_pages() = 0;
  // in_parent: the pages to leave to the parent. Returns false if the store cannot do that for this space and needs all
  // pages.
  virtual bool begin(PageSpace space, const std::vector<PageRange>& in_parent) = 0;
  virtual PageSink& pages() = 0;
  virtual void finish_pages(const std::map<PageSpace, std::vector<PageRange>>& in_parent) = 0;
  virtual uint64_t pages_written() const = 0;

  // Publishes the set: when this returns, the set is on the disk and has its name. If the manifest has a parent_id, the
  // set is linked to its parent. Throws Error. The set does not exist then, except that the store of an agent may have
  // it, and complete, if the connection was lost.
  virtual void publish(Manifest manifest) = 0;
};

// Makes the store that the options name, and connects to its agent or page server. Throws Error. `options` must outlive
// it.
std::unique_ptr<DumpStore> make_dump_store(const DumpOptions& options);

}  // namespace crx
