// Stores a dump with an agent on another host. This host's file system is not written to.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "agent-src/dump/dump_store.hpp"
#include "agent-src/dump/stored_manifest.hpp"
#include "agent-src/tool/link_page_sink.hpp"
#include "common/image/image_store.hpp"
#include "wire/link.hpp"
#include "wire/signature/set_signer.hpp"

namespace crx {

class AgentStore final : public DumpStore {
 public:
  // Connects to the agent, which checks the names of the set and its parent and lists the parent's pages. `options`
  // must outlive the object. Throws Error.
  explicit AgentStore(const DumpOptions& options);
  ~AgentStore() override;

  std::optional<ParentSet> parent() override { return parent_; }
  ImageSink& images() override { return images_; }
  void begin_pages() override {}
  bool begin(PageSpace space, const std::vector<PageRange>&) override {
    spaces_.push_back(space);
    return true;
  }
  PageSink& pages() override { return pages_; }
  void finish_pages(const std::map<PageSpace, std::vector<PageRange>>& in_parent) override;
  uint64_t pages_written() const override { return pages_.count; }
  void publish(Manifest manifest) override;

 private:
  struct CountedPages final : PageSink {
    explicit CountedPages(std::unique_ptr<wire::SourceLink>& to) : link(to) {}
    std::span<std::byte> acquire() override;
    void put(PageSpace space, std::vector<PageRange> ranges) override;
    std::unique_ptr<wire::SourceLink>& link;
    std::optional<LinkPageSink> sink;
    StoredManifest* stored = nullptr;  // of a set that is to be signed
    uint64_t count = 0;
  };
  void greet();
  void take_parent(const wire::StoreReady& ready);
  void send_images();
  void await_stored();

  const DumpOptions& options_;
  std::optional<wire::SetSigner> signer_;
  StoredManifest stored_;
  std::unique_ptr<wire::SourceLink> link_;
  CountedPages pages_{link_};
  ImageStore images_;
  std::optional<ParentSet> parent_;
  std::vector<PageSpace> spaces_;
  std::map<PageSpace, std::vector<PageRange>> in_parent_;
};

}  // namespace crx
