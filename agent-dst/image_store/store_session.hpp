// Receives a dump of another host and stores it as an image set.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent-dst/image_store/set_store.hpp"
#include "agent-dst/ipc/engine_options.hpp"
#include "common/base/fd.hpp"
#include "common/image/image_directory.hpp"
#include "common/image/page_images.hpp"
#include "common/image/set_check.hpp"
#include "wire/link.hpp"

namespace crx {

// The set becomes visible only when it is complete, checked and on the disk. Single-threaded.
class StoreSession {
 public:
  // hello: the session's Hello, with `store` set.
  StoreSession(wire::DestinationLink& link, const EngineOptions& options, wire::Hello hello);

  // Serves events until the set has been stored or has failed. Returns the engine's exit code. Failures are sent to the
  // source.
  int run();

 private:
  struct Space {
    PageWriter writer;
    uint64_t end = 0;  // end of the pages received so far
  };
  void begin();
  void describe_parent(const ImageSet& parent, wire::StoreReady& ready) const;
  void on_pages(const wire::PagesArrived& pages);
  void on_images(const wire::Images& images);
  void on_store_set(const wire::StoreSet& set);
  void begin_signed();
  Manifest manifest_of(const wire::StoreSet& set);
  void finish_pages(const wire::StoreSet& set);
  void check() const;
  Space& space(PageSpace id);
  void count(uint64_t bytes);

  wire::DestinationLink& link_;
  const EngineOptions& options_;
  wire::Hello hello_;
  std::unique_ptr<SignatureCheck> signers_;  // of a set that comes with a signature
  DirectorySink::Sealed sealed_;             // the manifest and the signature that came with it
  std::optional<Manifest> signed_manifest_;  // the former
  std::optional<StagedSet> staged_;
  std::optional<DirectorySink> set_;
  std::string parent_id_;
  Fd parent_lock_;
  std::map<PageSpace, Space> spaces_;
  std::vector<std::byte> buffer_;
  uint64_t bytes_ = 0;
  bool done_ = false;
};

}  // namespace crx
