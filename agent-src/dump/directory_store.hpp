// Stores a dump in a directory of this host. Its pages may go to a page server instead.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent-src/dump/dump_pages.hpp"
#include "agent-src/dump/dump_store.hpp"
#include "common/image/image_directory.hpp"
#include "wire/signature/set_signer.hpp"

namespace crx {

class DirectoryStore final : public DumpStore {
 public:
  explicit DirectoryStore(const DumpOptions& options);

  std::optional<ParentSet> parent() override;
  ImageSink& images() override { return set_; }
  void begin_pages() override;
  bool begin(PageSpace space, const std::vector<PageRange>& in_parent) override {
    return pages_->begin(space, in_parent);
  }
  PageSink& pages() override { return *pages_; }
  void finish_pages(const std::map<PageSpace, std::vector<PageRange>>& in_parent) override;
  uint64_t pages_written() const override { return pages_ ? pages_->pages() : 0; }
  void publish(Manifest manifest) override;

 private:
  void check_parent(const std::string& wanted_id) const;

  const DumpOptions& options_;
  std::optional<wire::SetSigner> signer_;
  DirectorySink set_;
  // They are locked, so that nobody removes or replaces a parent set during the dump.
  std::vector<Fd> parents_;
  std::unique_ptr<wire::TlsContext> tls_;
  std::unique_ptr<wire::PageServerClient> page_server_;
  std::unique_ptr<DumpPages> pages_;
};

}  // namespace crx
