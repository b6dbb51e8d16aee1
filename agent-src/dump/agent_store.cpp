#include "agent-src/dump/agent_store.hpp"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "agent-src/tool/worker.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/journal.hpp"
#include "common/image/image_reader.hpp"
#include "common/image/magic.hpp"
#include "wire/host_info.hpp"
#include "wire/source/connect.hpp"

namespace crx {
namespace {

// The agent looks at the chain of parents before it answers.
constexpr int64_t kAnswerMs = 60'000;
// The agent syncs the set before it answers.
constexpr int64_t kStoredMs = 15 * 60 * 1000;
constexpr int64_t kLookMs = 200;
constexpr std::size_t kMessageBytes = std::size_t{16} << 20;

PageSpace space_of(const wire::StoredPages& pages) {
  const bool object = pages.space_kind() == static_cast<uint32_t>(PageSpace::Kind::shmem);
  return {object ? PageSpace::Kind::shmem : PageSpace::Kind::mm, pages.space()};
}

}  // namespace

std::span<std::byte> AgentStore::CountedPages::acquire() {
  if (!sink) sink.emplace(*link);
  return sink->acquire();
}

void AgentStore::CountedPages::put(PageSpace space, std::vector<PageRange> ranges) {
  count += total_pages(ranges);
  if (stored != nullptr) stored->add_pages(space, ranges, acquire());
  sink->put(space, std::move(ranges));
}

AgentStore::AgentStore(const DumpOptions& options) : options_(options) {
  if (options.sign) {
    signer_.emplace(options.tls_dir, options.tls_crl);
    pages_.stored = &stored_;
  }
  wire::ConnectOptions connect;
  connect.to = options.to;
  connect.tls_dir = options.tls_dir;
  connect.tls_crl = options.tls_crl;
  connect.session = make_session_id();
  // A set's file holds its pages in their order, which a single stream preserves.
  connect.streams = 1;
  link_ = wire::connect_source(connect);
  greet();
}

AgentStore::~AgentStore() {
  pages_.sink.reset();
}

void AgentStore::greet() {
  wire::SessionMessage message;
  wire::Hello& hello = *message.mutable_hello();
  *hello.mutable_host() = wire::local_host_info();
  hello.mutable_store()->set_name(options_.name);
  hello.mutable_store()->set_prev_set(options_.prev_set);
  hello.mutable_store()->set_with_signature(options_.sign);
  link_->send(message);
  const auto welcome = link_->receive(Deadline::in_ms(kAnswerMs));
  if (!welcome || !welcome->has_welcome())
    throw Error(ErrorCode::peer, "greeting", options_.to.text() + " did not answer");
  const auto ready = link_->receive(Deadline::in_ms(kAnswerMs));
  if (!ready || !ready->has_store_ready()) {
    throw Error(ErrorCode::peer, "beginning the set", options_.to.text() + " does not say that it stores sets");
  }
  if (options_.sign && !ready->store_ready().with_signature()) {
    throw Error(ErrorCode::peer, "beginning the set", options_.to.text() + " does not store signatures")
        .with_hint("install a newer crx there, or leave out --sign");
  }
  if (!options_.prev_set.empty()) take_parent(ready->store_ready());
}

void AgentStore::take_parent(const wire::StoreReady& ready) {
  const auto wrong = [&](const char* what) {
    return Error(ErrorCode::peer, "looking at the parent set", options_.to.text() + " sent " + what);
  };
  ParentSet& parent = parent_.emplace();
  parent.id = ready.parent_id();
  parent.check_only = ready.parent_kind() == img::crx_manifest_entry::CHECK_ONLY;
  for (const wire::StoredPages& pages : ready.pages()) {
    std::vector<PageRange>& ranges = parent.pages[space_of(pages)];
    for (const wire::Range& range : pages.ranges()) {
      const uint64_t last = ranges.empty() ? 0 : ranges.back().end;
      if (range.start() < last || range.end() <= range.start() || range.end() > kEndOfUserSpace5 ||
          range.start() % kPageSize != 0 || range.end() % kPageSize != 0) {
        throw wrong("malformed ranges");
      }
      append_range(ranges, {range.start(), range.end()});
    }
  }
  for (const wire::ImageFile& file : ready.digests()) {
    for (const auto& [space, ranges] : parent.pages) {
      if (space.kind != PageSpace::Kind::shmem || file.name() != image_file::crx_shmem(space.id)) continue;
      parent.objects[space.id] = PageDigests::read(file.name(), file.content());
    }
  }
}

void AgentStore::finish_pages(const std::map<PageSpace, std::vector<PageRange>>& in_parent) {
  pages_.sink.reset();
  in_parent_ = in_parent;
}

void AgentStore::send_images() {
  wire::SessionMessage message;
  const auto flush = [&] {
    if (message.images().files().empty()) return;
    link_->send(message);
    message.Clear();
  };
  for (auto& [name, bytes] : images_.take()) {
    if (message.ByteSizeLong() + bytes.size() > kMessageBytes) flush();
    if (signer_) stored_.add_image(name, bytes);
    wire::ImageFile& file = *message.mutable_images()->add_files();
    file.set_name(name);
    file.set_content(std::move(bytes));
  }
  flush();
}

// The wait can be interrupted, since the tree may be stopped for as long as it lasts.
void AgentStore::await_stored() {
  const Deadline deadline = Deadline::in_ms(kStoredMs);
  while (!deadline.passed()) {
    const auto stored = link_->receive(Deadline::in_ms(kLookMs));
    if (stored && stored->has_stored()) return;
    if (stored) break;
    if (stop_requested()) throw Error(ErrorCode::peer, "storing the set", "crx-dump was told to stop");
  }
  throw Error(ErrorCode::peer, "storing the set", options_.to.text() + " does not say that it has it");
}

void AgentStore::publish(Manifest manifest) {
  link_->end_round(1);
  send_images();
  wire::SessionMessage message;
  wire::StoreSet& set = *message.mutable_store_set();
  set.set_manifest(manifest.head().SerializeAsString());
  for (const PageSpace space : spaces_) {
    wire::StoredPages& pages = *set.add_in_parent();
    pages.set_space_kind(static_cast<uint32_t>(space.kind));
    pages.set_space(space.id);
    for (const PageRange& range : in_parent_[space]) {
      wire::Range& added = *pages.add_ranges();
      added.set_start(range.start);
      added.set_end(range.end);
    }
  }
  if (signer_) {
    const std::string bytes = stored_.finish(std::move(manifest), spaces_, in_parent_).bytes();
    set.set_signature(signer_->sign(bytes));
    set.set_signed_manifest(bytes);
  }
  link_->send(message);
  try {
    await_stored();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::peer) throw;
    throw Error(ErrorCode::peer, "storing the set", error.what())
        .with_hint(fmt::format("the process runs on; look whether {} has a set {}: it is whole if it is there",
                               options_.to.host, options_.name));
  }
  // This ends the link's threads, too: the tracking daemon must be forked from a single-threaded process.
  link_.reset();
}

}  // namespace crx
