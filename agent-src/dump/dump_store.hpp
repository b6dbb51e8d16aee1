// Where a dump goes: a directory here, or the store of an agent on another host.
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
  std::string id;                                     // of its manifest; empty: it was made by CRIU
  bool check_only = false;                            // it has no pages
  std::map<PageSpace, std::vector<PageRange>> pages;  // what it and its own parents have, ascending
  std::map<uint64_t, PageDigests> objects;            // of its shared memory, by the id of the space
};

// One set being made. Until publish() returns nothing of it can be seen; destroying the store before removes what there
// is. Called from one thread; there may be others of the store's own until finish_pages().
class DumpStore {
 public:
  virtual ~DumpStore() = default;

  // The parent that the options name; nothing where they name none. Throws Error where there is no such set.
  virtual std::optional<ParentSet> parent() = 0;
  // Everything but pages.
  virtual ImageSink& images() = 0;

  // Pages: begin_pages(), then for each space begin() and its pages in ascending order, then finish_pages(), which
  // returns when all are written. in_parent: by space, what is left to the parent.
  virtual void begin_pages() = 0;
  // in_parent: what is to be left to the parent. False: the store cannot do that for this space, and wants all pages.
  virtual bool begin(PageSpace space, const std::vector<PageRange>& in_parent) = 0;
  virtual PageSink& pages() = 0;
  virtual void finish_pages(const std::map<PageSpace, std::vector<PageRange>>& in_parent) = 0;
  virtual uint64_t pages_written() const = 0;

  // The set is on the disk and has its name when this returns. With a parent_id it is linked to its parent.
  virtual void publish(Manifest manifest) = 0;
};

// As the options say. Connects.
std::unique_ptr<DumpStore> make_dump_store(const DumpOptions& options);

}  // namespace crx
