#include "agent-src/dump/directory_store.hpp"

#include <sys/stat.h>

#include <cstdlib>
#include <string_view>
#include <utility>

#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/image/page_images.hpp"
#include "common/image/schema/memory.pb.h"
#include "wire/signature/trusted_signers.hpp"

namespace crx {
namespace {

constexpr char kLooking[] = "looking for the parent set";
constexpr char kAnotherDirectory[] = "write the new set to another directory";

// Lists the pages that a page server has of this set and its parents; a set that continues this one reads the list.
void write_sent(PageSpace space, const std::vector<PageRange>& ranges, ImageSink& images) {
  const std::string name = image_file::crx_pagemap(space.id);
  img::pagemap_head head;
  head.set_pages_id(0);
  images.append(name, head);
  for (const PageRange& range : ranges) {
    img::pagemap_entry entry;
    entry.set_vaddr(range.start);
    entry.set_compat_nr_pages(static_cast<uint32_t>(range.pages()));
    entry.set_nr_pages(range.pages());
    images.append(name, entry);
  }
}

void read_sent(const DirectorySource& images, ParentSet& parent) {
  constexpr std::string_view kPrefix = "crx-pagemap-";
  for (const std::string& name : images.names()) {
    if (!name.starts_with(kPrefix)) continue;
    std::vector<PageRange>& pages =
        parent.pages[{PageSpace::Kind::mm, std::strtoull(name.c_str() + kPrefix.size(), nullptr, 10)}];
    pages.clear();
    ImageReader image = images.reader(name);
    image.expect<img::pagemap_head>();
    for (img::pagemap_entry entry; image.next(entry);) {
      const uint64_t last = pages.empty() ? 0 : pages.back().end;
      if (entry.vaddr() % kPageSize != 0 || entry.vaddr() < last || entry.vaddr() > kEndOfUserSpace5 ||
          entry.nr_pages() > (kEndOfUserSpace5 - entry.vaddr()) / kPageSize) {
        image.fail("pages are out of order");
      }
      append_range(pages, {entry.vaddr(), entry.vaddr() + entry.nr_pages() * kPageSize});
    }
  }
}

}  // namespace

DirectoryStore::DirectoryStore(const DumpOptions& options)
    : options_(options),
      signer_(options.sign ? std::optional<wire::SetSigner>(std::in_place, options.tls_dir, options.tls_crl)
                           : std::nullopt),
      set_(options.images_dir) {
  if (signer_) {
    set_.set_seal([this](const Manifest& manifest) {
      const std::string bytes = manifest.bytes();
      return DirectorySink::Sealed{bytes, signer_->sign(bytes)};
    });
  }
  if (options.page_server.host.empty()) return;
  if (!options.insecure)
    tls_ = std::make_unique<wire::TlsContext>(wire::TlsRole::client, options.tls_dir, options.tls_crl);
  page_server_ = std::make_unique<wire::PageServerClient>(wire::PageStream::connect(options.page_server, tls_.get()));
}

std::optional<ParentSet> DirectoryStore::parent() {
  if (options_.prev_images_dir.empty()) return std::nullopt;
  const std::string path = options_.images_dir + "/" + options_.prev_images_dir;
  const auto refuse_own = [&](const struct stat& its) {
    struct stat own {};
    if (::stat(options_.images_dir.c_str(), &own) != 0 || its.st_dev != own.st_dev || its.st_ino != own.st_ino) return;
    throw Error(ErrorCode::refused, kLooking, path + " is the directory of the new set itself, or continues it")
        .with_hint(kAnotherDirectory);
  };
  struct stat its {};
  if (::stat(path.c_str(), &its) == 0) refuse_own(its);
  std::optional<wire::TrustedSigners> signers;
  if (options_.sign) {
    signers.emplace(options_.tls_dir, options_.tls_crl);
    signers->set_remedy("continue a set that crx-dump --sign made, or leave out --sign");
  }
  const ImageSet set = ImageSet::open(path, signers ? &*signers : nullptr);
  for (std::size_t level = 0; level < set.levels(); ++level) {
    if (::fstat(set.level(level).directory(), &its) == 0) refuse_own(its);
    // The duplicate shares the level's lock.
    parents_.push_back(duplicate(set.level(level).directory()));
  }
  ParentSet parent;
  if (set.manifest() == nullptr) return parent;
  parent.id = set.manifest()->head().set_id();
  parent.check_only = set.manifest()->head().kind() == img::crx_manifest_entry::CHECK_ONLY;
  for (const PageSpace space : set.spaces()) {
    std::vector<PageRange>& pages = parent.pages[space];
    for (const PagePiece& piece : set.pages(space)) append_range(pages, piece.range);
    // A page server must know which pages are left to the parent before their content is read, so a comparison of
    // content would come too late.
    if (page_server_ || space.kind != PageSpace::Kind::shmem || !set.images().contains(image_file::crx_shmem(space.id)))
      continue;
    const std::string name = image_file::crx_shmem(space.id);
    parent.objects[space.id] = PageDigests::read(name, set.images().load(name));
  }
  if (set.manifest()->head().pages_elsewhere()) read_sent(set.images(), parent);
  return parent;
}

void DirectoryStore::begin_pages() {
  pages_ = std::make_unique<DumpPages>(set_, page_server_.get());
}

void DirectoryStore::finish_pages(const std::map<PageSpace, std::vector<PageRange>>& in_parent) {
  pages_->drain();
  pages_->finish(in_parent);
  for (const auto& [space, ranges] : pages_->sent()) {
    if (space.kind != PageSpace::Kind::mm) continue;
    const auto left = in_parent.find(space);
    write_sent(space, left == in_parent.end() ? ranges : unite(ranges, left->second), set_);
  }
}

// Throws Error if another set has the parent's name by now: a program that ignores the locks may have replaced it.
void DirectoryStore::check_parent(const std::string& wanted_id) const {
  const std::string path = options_.images_dir + "/" + options_.prev_images_dir;
  const DirectorySource now(path);
  if (now.contains(image_file::kCrxIntegrity) &&
      Manifest::read(now.load(image_file::kCrxIntegrity), path).head().set_id() == wanted_id) {
    return;
  }
  throw Error(ErrorCode::kernel, "naming the parent set", path + " has another set now than when this one was begun")
      .with_hint("dump again");
}

void DirectoryStore::publish(Manifest manifest) {
  if (manifest.head().has_parent_id()) check_parent(manifest.head().parent_id());
  if (page_server_) manifest.head().set_pages_elsewhere(true);
  if (manifest.head().has_parent_id()) set_.set_parent(options_.prev_images_dir);
  set_.set_manifest(std::move(manifest));
  set_.commit();
}

}  // namespace crx
