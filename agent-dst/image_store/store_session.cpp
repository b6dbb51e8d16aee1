#include "agent-dst/image_store/store_session.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <variant>

#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/image/magic.hpp"
#include "wire/failure.hpp"
#include "wire/host_info.hpp"
#include "wire/signature/trusted_signers.hpp"

namespace crx {
namespace {

constexpr std::size_t kMaxSpaces = 1 << 16;
// limit per message: a parent with more ranges is not reported, so the dump contains all pages
constexpr int kMaxRanges = 1 << 20;
constexpr std::size_t kMaxTold = std::size_t{128} << 20;
constexpr uint64_t kUserEnd = uint64_t{1} << 56;
constexpr char kStoreSessionStep[] = "storing an image set";

[[noreturn]] void broke(const std::string& what) {
  throw Error(ErrorCode::peer, kStoreSessionStep, "the source sent " + what);
}

bool is_page_file(const std::string& name) {
  return name.starts_with("pages-") || name.starts_with("pagemap-");
}

// Converts to ascending, disjoint ranges of whole pages, and checks that they are such.
std::vector<PageRange> ranges_of(const wire::StoredPages& pages) {
  std::vector<PageRange> ranges;
  uint64_t last = 0;
  for (const wire::Range& range : pages.ranges()) {
    if (range.start() < last || range.end() <= range.start() || range.end() > kUserEnd ||
        range.start() % kPageSize != 0 || range.end() % kPageSize != 0) {
      broke("malformed ranges");
    }
    last = range.end();
    append_range(ranges, {range.start(), range.end()});
  }
  return ranges;
}

PageSpace space_of(uint32_t kind, uint64_t id) {
  if (kind != static_cast<uint32_t>(PageSpace::Kind::mm) && kind != static_cast<uint32_t>(PageSpace::Kind::shmem)) {
    broke("pages of an unknown kind");
  }
  return {static_cast<PageSpace::Kind>(kind), id};
}

// Throws unless the two manifests describe the same files.
void require_same_files(const Manifest& written, const Manifest& signed_one) {
  for (const auto& [name, entry] : written.files()) {
    const img::crx_digest_entry* wanted = signed_one.find(name);
    if (wanted == nullptr || wanted->size() != entry.size() || wanted->chunks() != entry.chunks() ||
        wanted->sha256() != entry.sha256() || wanted->punched_size() != 0) {
      throw Error(ErrorCode::peer, kStoreSessionStep, "the source signed " + name + " differently from what it sent")
          .with_hint("install the same version of crx on both hosts");
    }
  }
  if (written.files().size() != signed_one.files().size()) broke("a signature for files that did not come");
}

// Locks the set that the new one continues, so that it is not removed before the new set is stored.
Fd lock_set(const std::string& path) {
  Fd folder = try_open(path, O_RDONLY | O_DIRECTORY);
  if (!folder) {
    throw Error(ErrorCode::kernel, kStoreSessionStep, "the set to be continued, " + path + ", cannot be opened", errno)
        .with_hint("crx-image list there shows the sets; continue one of them, or none");
  }
  if (::flock(folder.get(), LOCK_SH | LOCK_NB) == 0) return folder;
  throw Error(ErrorCode::refused, kStoreSessionStep, path + " is being removed")
      .with_hint("continue another set, or none");
}

}  // namespace

StoreSession::StoreSession(wire::DestinationLink& link, const EngineOptions& options, wire::Hello hello)
    : link_(link), options_(options), hello_(std::move(hello)), buffer_(wire::kBatchBytes) {}

int StoreSession::run() {
  try {
    begin();
    while (!done_) {
      const auto event = link_.receive(Deadline::never());
      if (!event) continue;
      if (const auto* closed = std::get_if<wire::LinkClosed>(&*event)) {
        log::warn("session {}: the set {} is incomplete and is discarded: {}", options_.session, hello_.store().name(),
                  closed->reason);
        return 1;
      }
      if (const auto* pages = std::get_if<wire::PagesArrived>(&*event)) on_pages(*pages);
      const auto* message = std::get_if<wire::SessionMessage>(&*event);
      if (message == nullptr) continue;
      if (message->has_images()) {
        on_images(message->images());
      } else if (message->has_store_set()) {
        on_store_set(message->store_set());
      } else if (message->has_abort()) {
        return 1;
      } else {
        broke("a message that is not allowed while a set is stored");
      }
    }
    return 0;
  } catch (const Error& error) {
    log::error("session {}: {}", options_.session, error.what());
    link_.send(wire::failure_message(error));
  } catch (const std::exception& error) {
    log::error("session {}: {}", options_.session, error.what());
    link_.send(wire::failure_message(Error(ErrorCode::bug, kStoreSessionStep, error.what())));
  }
  return 1;
}

// Loads whose signatures count, if the set has one; refuses a set without, if the policy demands one.
void StoreSession::begin_signed() {
  if (hello_.store().with_signature()) {
    signers_ = std::make_unique<wire::TrustedSigners>(options_.tls_dir, options_.tls_crl);
    signers_->set_remedy("continue a set that crx-dump --sign made, or leave out --sign");
  } else if (options_.require_signature) {
    throw Error(ErrorCode::refused, kStoreSessionStep, "the agent stores signed sets only (--require-signature)")
        .with_hint("use crx-dump --sign");
  }
}

void StoreSession::begin() {
  const wire::StoreRequest& request = hello_.store();
  begin_signed();
  wire::SessionMessage ready;
  wire::StoreReady& told = *ready.mutable_store_ready();
  staged_.emplace(options_.store, request.name(), options_.session);
  set_.emplace(staged_->path());
  if (signers_) {
    // The agent writes what was signed, byte for byte; its own digests of the files must be the same.
    set_->set_seal([this](const Manifest& written) {
      require_same_files(written, *signed_manifest_);
      return sealed_;
    });
  }
  told.set_with_signature(signers_ != nullptr);
  if (!request.prev_set().empty()) {
    const std::string path = set_path(options_.store, request.prev_set());
    parent_lock_ = lock_set(path);
    describe_parent(ImageSet::open(path, signers_.get()), told);
  }
  parent_id_ = told.parent_id();
  wire::SessionMessage welcome;
  welcome.mutable_welcome()->set_protocol(hello_.protocol());
  *welcome.mutable_welcome()->mutable_host() = wire::local_host_info();
  link_.send(welcome);
  link_.send(ready);
}

void StoreSession::describe_parent(const ImageSet& parent, wire::StoreReady& ready) const {
  if (parent.manifest() == nullptr) return;
  ready.set_parent_id(parent.manifest()->head().set_id());
  ready.set_parent_kind(static_cast<uint32_t>(parent.manifest()->head().kind()));
  std::size_t told = 0;
  for (const PageSpace space : parent.spaces()) {
    std::vector<PageRange> ranges;
    for (const PagePiece& piece : parent.pages(space)) append_range(ranges, piece.range);
    const std::string digests = image_file::crx_shmem(space.id);
    const bool has_digests = space.kind == PageSpace::Kind::shmem && parent.images().contains(digests);
    told += ranges.size() * sizeof(PageRange) + (has_digests ? parent.images().load(digests).size() : 0);
    if (ranges.size() > kMaxRanges || told > kMaxTold) continue;
    wire::StoredPages& pages = *ready.add_pages();
    pages.set_space_kind(static_cast<uint32_t>(space.kind));
    pages.set_space(space.id);
    for (const PageRange& range : ranges) {
      wire::Range& added = *pages.add_ranges();
      added.set_start(range.start);
      added.set_end(range.end);
    }
    if (!has_digests) continue;
    wire::ImageFile& file = *ready.add_digests();
    file.set_name(digests);
    file.set_content(std::string(parent.images().load(digests)));
  }
}

void StoreSession::count(uint64_t bytes) {
  bytes_ += bytes;
  const uint64_t limit = options_.policy.max_memory;
  if (limit == 0 || bytes_ <= limit) return;
  throw Error(ErrorCode::refused, kStoreSessionStep,
              fmt::format("{} is larger than {} MiB", hello_.store().name(), limit >> 20))
      .with_hint("start the agent with a higher --max-memory");
}

StoreSession::Space& StoreSession::space(PageSpace id) {
  const auto found = spaces_.find(id);
  if (found != spaces_.end()) return found->second;
  if (spaces_.size() >= kMaxSpaces) broke("more address spaces than a tree can have");
  const auto number = static_cast<uint32_t>(spaces_.size() + 1);
  return spaces_.emplace(id, Space{PageWriter(*set_, id, number), 0}).first->second;
}

// Pages that are all zero are stored in the set like all others.
void StoreSession::on_pages(const wire::PagesArrived& pages) {
  Space& to = space(pages.space);
  const std::vector<PageRange> all = unite(pages.ranges, pages.zero_ranges);
  const uint64_t size = total_pages(all) * kPageSize;
  if (all.empty() || all.front().start < to.end || size > buffer_.size()) broke("pages out of order");
  to.end = all.back().end;
  count(size);
  std::span<const std::byte> content = pages.bytes;
  std::byte* at = buffer_.data();
  for (const PageRange& range : all) {
    for (const PageRange& zero : intersect({range}, pages.zero_ranges))
      std::memset(at + (zero.start - range.start), 0, zero.bytes());
    for (const PageRange& part : intersect({range}, pages.ranges)) {
      if (content.size() < part.bytes()) broke("fewer bytes than its pages have");
      std::memcpy(at + (part.start - range.start), content.data(), part.bytes());
      content = content.subspan(part.bytes());
    }
    at += range.bytes();
  }
  to.writer.add(all, std::span(buffer_).first(size));
  link_.release(pages.slot);
}

void StoreSession::on_images(const wire::Images& images) {
  for (const wire::ImageFile& file : images.files()) {
    if (!image_file::magic_of(file.name()) || !image_file::valid_name(file.name()) || is_page_file(file.name()) ||
        file.name() == image_file::kCrxIntegrity) {
      broke("an image \"" + file.name().substr(0, 80) + "\", which is not a file of a set");
    }
    count(file.content().size());
    set_->insert(file.name(), file.content());
  }
}

Manifest StoreSession::manifest_of(const wire::StoreSet& set) {
  Manifest manifest = Manifest::begin(img::crx_manifest_entry::DUMP);
  const std::size_t id_bytes = manifest.head().set_id().size();
  if (signers_) {
    const std::string shown = hello_.store().name() + "/" + std::string(image_file::kCrxSignature);
    sealed_ = {set.signed_manifest(), set.signature()};
    const std::string who = signers_->signer(sealed_.manifest, sealed_.signature, shown);
    signed_manifest_ = Manifest::read(sealed_.manifest, shown);
    if (signed_manifest_->head().SerializeAsString() != set.manifest()) broke("a signature of another manifest");
    log::info("session {}: the set {} is signed by {}", options_.session, hello_.store().name(), who);
  }
  if (!manifest.head().ParseFromString(set.manifest()) || manifest.head().version() != kManifestVersion ||
      manifest.head().set_id().size() != id_bytes) {
    broke("a malformed manifest");
  }
  if (manifest.head().has_parent_id() && (parent_id_.empty() || manifest.head().parent_id() != parent_id_)) {
    broke("a set that continues a different set than the one it named");
  }
  manifest.head().clear_pages_elsewhere();
  return manifest;
}

void StoreSession::finish_pages(const wire::StoreSet& set) {
  std::map<PageSpace, std::vector<PageRange>> in_parent;
  for (const wire::StoredPages& pages : set.in_parent()) {
    const PageSpace id = space_of(pages.space_kind(), pages.space());
    space(id);  // it may have no pages
    in_parent[id] = ranges_of(pages);
  }
  for (const auto& [id, stored] : spaces_) stored.writer.finish(*set_, in_parent[id]);
}

// Checks that the written set can be read, and that its parents have the pages that it refers to.
void StoreSession::check() const {
  const ImageSet set = ImageSet::open(staged_->path(), signers_.get());
  for (const PageSpace space : set.spaces()) static_cast<void>(set.pages(space));
}

void StoreSession::on_store_set(const wire::StoreSet& set) {
  Manifest manifest = manifest_of(set);
  finish_pages(set);
  if (manifest.head().has_parent_id()) set_->set_parent("../" + hello_.store().prev_set());
  set_->set_manifest(std::move(manifest));
  set_->commit();
  check();
  staged_->publish();
  log::info("session {}: stored the set {} of {}, {} MiB", options_.session, hello_.store().name(), options_.peer,
            bytes_ >> 20);
  wire::SessionMessage answer;
  answer.mutable_stored()->set_bytes(bytes_);
  link_.send(answer);
  done_ = true;
}

}  // namespace crx
