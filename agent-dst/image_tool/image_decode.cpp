#include "agent-dst/image_tool/image_decode.hpp"

#include <fmt/format.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/cgroup.pb.h"
#include "common/image/schema/core.pb.h"
#include "common/image/schema/crx.pb.h"
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

using Message = google::protobuf::Message;
using Maker = std::function<std::unique_ptr<Message>()>;

template <typename T>
Maker cloner() {
  return [] { return std::make_unique<T>(); };
}

// The first entry of an image, and all that follow where they are others.
struct Kind {
  Maker first;
  Maker more;
};

template <typename First, typename More = First>
Kind kind() {
  return {cloner<First>(), cloner<More>()};
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
      {magic::kCrxShmem, kind<img::crx_page_digests>()},
      {magic::kCrxTask, kind<img::crx_task_entry>()},
      {magic::kCrxIntegrity, kind<img::crx_manifest_entry, img::crx_digest_entry>()},
  };
  return all;
}

// How many bytes of data follow this entry.
uint64_t raw_after(const Message& message, ImageReader& reader) {
  if (const auto* pipe = dynamic_cast<const img::pipe_data_entry*>(&message)) return reader.raw(pipe->bytes()).size();
  if (const auto* packet = dynamic_cast<const img::sk_packet_entry*>(&message))
    return reader.raw(packet->length()).size();
  if (const auto* chunk = dynamic_cast<const img::ghost_chunk_entry*>(&message)) return reader.raw(chunk->len()).size();
  if (const auto* ghost = dynamic_cast<const img::ghost_file_entry*>(&message)) {
    return ghost->chunks() ? 0 : reader.rest().size();
  }
  if (dynamic_cast<const img::tcp_stream_entry*>(&message) != nullptr) return reader.rest().size();
  return 0;
}

std::string json_of(const Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  if (!status.ok()) throw Error(ErrorCode::corrupt_image, "decoding", message.GetTypeName() + ": " + status.ToString());
  return text;
}

}  // namespace

std::string image_to_json(const ImageSource& images, const std::string& name) {
  const auto magic = image_file::magic_of(name);
  std::string out = fmt::format("{{\"image\":\"{}\"", name);
  if (!magic) return out + fmt::format(",\"bytes\":{}}}", images.load(name).size());
  const auto found = kinds().find(*magic);
  if (found == kinds().end())
    throw Error(ErrorCode::unsupported, "decoding", name + ": images of this kind are not decoded");
  out += ",\"entries\":[";
  ImageReader reader = images.reader(name);
  bool first = true;
  while (!reader.at_end()) {
    const std::unique_ptr<Message> message = (first ? found->second.first : found->second.more)();
    reader.next(*message);
    std::string text = json_of(*message);
    if (const uint64_t raw = raw_after(*message, reader); raw > 0) {
      text.pop_back();
      text += fmt::format("{}\"raw_bytes\":{}}}", text.size() > 1 ? "," : "", raw);
    }
    out += (first ? "" : ",") + text;
    first = false;
  }
  return out + "]}";
}

}  // namespace crx
