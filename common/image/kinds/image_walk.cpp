#include "common/image/kinds/image_walk.hpp"

#include <google/protobuf/message.h>

#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "common/base/error.hpp"
#include "common/image/image_store.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/cgroup.pb.h"
#include "common/image/schema/core.pb.h"
#include "common/image/schema/crx.pb.h"
#include "common/image/schema/crx_ipc.pb.h"
#include "common/image/schema/files.pb.h"
#include "common/image/schema/inventory.pb.h"
#include "common/image/schema/ipc.pb.h"
#include "common/image/schema/manifest.pb.h"
#include "common/image/schema/memory.pb.h"
#include "common/image/schema/mm.pb.h"
#include "common/image/schema/namespaces.pb.h"
#include "common/image/schema/net.pb.h"
#include "common/image/schema/pipes.pb.h"
#include "common/image/schema/regular.pb.h"
#include "common/image/schema/sockets.pb.h"
#include "common/image/schema/tty.pb.h"

namespace crx {
namespace {

using google::protobuf::Message;
using Maker = std::function<std::unique_ptr<Message>()>;

template <typename T>
Maker maker() {
  return [] { return std::make_unique<T>(); };
}

// The first entry of an image, and all that follow where they are others.
struct Kind {
  Maker first;
  Maker more;
};

template <typename First, typename More = First>
Kind kind() {
  return {maker<First>(), maker<More>()};
}

const std::map<uint32_t, Kind>& kinds() {
  static const std::map<uint32_t, Kind> all = {
      {magic::kInventory, kind<img::inventory_entry>()},
      {magic::kPstree, kind<img::pstree_entry>()},
      {magic::kFdinfo, kind<img::fdinfo_entry>()},
      {magic::kPagemap, kind<img::pagemap_head, img::pagemap_entry>()},
      {magic::kCore, kind<img::core_entry>()},
      {magic::kIds, kind<img::task_kobj_ids_entry>()},
      {magic::kPipesData, kind<img::pipe_data_entry>()},
      {magic::kFifoData, kind<img::pipe_data_entry>()},
      {magic::kSkQueues, kind<img::sk_packet_entry>()},
      {magic::kFs, kind<img::fs_entry>()},
      {magic::kMm, kind<img::mm_entry>()},
      {magic::kRemapFpath, kind<img::remap_file_path_entry>()},
      {magic::kGhostFile, kind<img::ghost_file_entry, img::ghost_chunk_entry>()},
      {magic::kTcpStream, kind<img::tcp_stream_entry>()},
      {magic::kTtyInfo, kind<img::tty_info_entry>()},
      {magic::kTtyData, kind<img::tty_data_entry>()},
      {magic::kFileLocks, kind<img::file_lock_entry>()},
      {magic::kCgroup, kind<img::cgroup_entry>()},
      {magic::kSeccomp, kind<img::seccomp_entry>()},
      {magic::kFiles, kind<img::file_entry>()},
      {magic::kMemfdInode, kind<img::memfd_inode_entry>()},
      {magic::kTimens, kind<img::timens_entry>()},
      {magic::kStats, kind<img::stats_entry>()},
      {magic::kIpcShm, kind<img::ipc_shm_entry>()},
      {magic::kIpcSem, kind<img::ipc_sem_entry>()},
      {magic::kIpcMsg, kind<img::ipc_msg_entry>()},
      {magic::kCrxIpc, kind<img::crx_ipc_entry>()},
      {magic::kCrxShmem, kind<img::crx_page_digests>()},
      {magic::kCrxTask, kind<img::crx_task_entry>()},
      {magic::kCrxIntegrity, kind<img::crx_manifest_entry, img::crx_digest_entry>()},
  };
  return all;
}

// The data after one kind of entry. Returns whether the message was of this kind.
template <typename Entry, typename Visit>
bool if_is(const Message& message, Visit visit) {
  const auto* entry = dynamic_cast<const Entry*>(&message);
  if (entry != nullptr) visit(*entry);
  return entry != nullptr;
}

void visit_queue(const img::ipc_msg_entry& queue, ImageReader& reader, ImageVisitor& visitor) {
  for (uint32_t i = 0; i < queue.qnum(); ++i) {
    auto head = reader.expect<img::ipc_msg>();
    visitor.entry(head);
    visitor.data(reader.raw_padded(head.msize(), 8), 8);
  }
}

void visit_data(const Message& message, ImageReader& reader, ImageVisitor& visitor) {
  const auto raw = [&](uint64_t bytes) { visitor.data(reader.raw(bytes), 1); };
  const auto rest = [&] { visitor.data(reader.rest(), 1); };
  if (if_is<img::pipe_data_entry>(message, [&](const auto& pipe) { raw(pipe.bytes()); })) return;
  if (if_is<img::sk_packet_entry>(message, [&](const auto& packet) { raw(packet.length()); })) return;
  if (if_is<img::ghost_chunk_entry>(message, [&](const auto& chunk) { raw(chunk.len()); })) return;
  if (if_is<img::tcp_stream_entry>(message, [&](const auto&) { rest(); })) return;
  if (if_is<img::ghost_file_entry>(message, [&](const auto& ghost) {
        if (!ghost.chunks()) rest();
      }))
    return;
  if (if_is<img::ipc_shm_entry>(message, [&](const auto& segment) {
        if (!segment.in_pagemaps()) visitor.data(reader.raw_padded(segment.size(), 4), 4);
      }))
    return;
  if (if_is<img::ipc_sem_entry>(message, [&](const auto& set) {
        visitor.data(reader.raw_padded(uint64_t{set.nsems()} * sizeof(uint16_t), 8), 8);
      }))
    return;
  if_is<img::ipc_msg_entry>(message, [&](const auto& queue) { visit_queue(queue, reader, visitor); });
}

class Rewriter final : public ImageVisitor {
 public:
  explicit Rewriter(const std::string& name) : name_(name) { store_.create(name); }
  void entry(Message& message) override {
    message.DiscardUnknownFields();
    store_.append(name_, message);
  }
  void data(std::span<const std::byte> bytes, std::size_t alignment) override {
    store_.append_padded(name_, bytes, alignment);
  }
  std::string take() { return std::move(store_.take().begin()->second); }

 private:
  const std::string& name_;
  ImageStore store_;
};

}  // namespace

void walk_image(ImageReader reader, ImageVisitor& visitor) {
  const auto magic = image_file::magic_of(reader.name());
  const auto found = magic ? kinds().find(*magic) : kinds().end();
  if (found == kinds().end())
    throw Error(ErrorCode::unsupported, "decoding", reader.name() + ": images of this kind are not decoded");
  bool first = true;
  while (!reader.at_end()) {
    const std::unique_ptr<Message> message = (first ? found->second.first : found->second.more)();
    reader.next(*message);
    visitor.entry(*message);
    visit_data(*message, reader, visitor);
    first = false;
  }
}

std::string rewritten_image(const std::string& name, std::string_view bytes) {
  if (!image_file::valid_name(name) || !image_file::magic_of(name))
    throw Error(ErrorCode::unsupported, "decoding", "there is no image of that name");
  Rewriter rewriter(name);
  walk_image(ImageReader(name, bytes), rewriter);
  return rewriter.take();
}

}  // namespace crx
