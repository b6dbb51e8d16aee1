#include "agent-src/dump/stored_manifest.hpp"

#include <utility>

#include "common/image/image_store.hpp"
#include "common/image/magic.hpp"
#include "common/image/page_writer.hpp"

namespace crx {

StoredManifest::Space& StoredManifest::space(PageSpace id) {
  const auto found = spaces_.find(id);
  if (found != spaces_.end()) return found->second;
  return spaces_.emplace(id, Space{static_cast<uint32_t>(spaces_.size() + 1), {}}).first->second;
}

void StoredManifest::add_pages(PageSpace id, const std::vector<PageRange>& ranges, std::span<const std::byte> bytes) {
  Space& to = space(id);
  for (const PageRange& range : ranges) append_range(to.present, range);
  to.digester.add(bytes.first(total_pages(ranges) * kPageSize));
}

void StoredManifest::add_image(const std::string& name, std::string_view bytes) {
  images_.push_back(digest_of(name, bytes, Digests::secure));
}

Manifest StoredManifest::finish(Manifest manifest, const std::vector<PageSpace>& spaces,
                                const std::map<PageSpace, std::vector<PageRange>>& in_parent) {
  for (const PageSpace id : spaces) space(id);
  ImageStore pagemaps;
  for (auto& [id, stored] : spaces_) {
    const auto left = in_parent.find(id);
    write_pagemap(pagemaps, id, stored.pages_id, stored.present,
                  left == in_parent.end() ? std::vector<PageRange>() : left->second);
    manifest.add(stored.digester.finish(image_file::pages(stored.pages_id)));
  }
  for (const auto& [name, bytes] : pagemaps.files()) add_image(name, bytes);
  for (img::crx_digest_entry& entry : images_) manifest.add(std::move(entry));
  return manifest;
}

}  // namespace crx
