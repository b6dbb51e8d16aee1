// The manifest that a set gets in the store of an agent, computed at the source, which signs it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/page.hpp"
#include "common/image/integrity.hpp"

namespace crx {

// Follows everything that is sent, in the order in which it is sent: the agent numbers the files of pages by it
// (PROTOCOL.md, "Storing a set"). For one thread.
class StoredManifest {
 public:
  // ranges, bytes: as PageSink::put() takes them.
  void add_pages(PageSpace space, const std::vector<PageRange>& ranges, std::span<const std::byte> bytes);
  void add_image(const std::string& name, std::string_view bytes);
  // Returns `manifest` with all files of the set. spaces: all of them, in the order in which StoreSet lists them;
  // in_parent: the pages that each leaves to the parent. To be called once, after everything was added.
  Manifest finish(Manifest manifest, const std::vector<PageSpace>& spaces,
                  const std::map<PageSpace, std::vector<PageRange>>& in_parent);

 private:
  struct Space {
    uint32_t pages_id;
    std::vector<PageRange> present;
    FileDigester digester{true, Digests::secure};
  };
  Space& space(PageSpace id);
  std::map<PageSpace, Space> spaces_;
  std::vector<img::crx_digest_entry> images_;
};

}  // namespace crx
