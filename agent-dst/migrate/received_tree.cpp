#include "agent-dst/migrate/received_tree.hpp"

#include <unistd.h>

#include <string>

#include "common/base/error.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/mm.pb.h"
#include "common/image/schema/regular.pb.h"
#include "common/kernel/process/time_namespace.hpp"
#include "wire/tree_message.hpp"

namespace crx {
namespace {

template <typename Message>
Message parse(const std::string& bytes, const char* what) {
  Message message;
  if (!message.ParseFromString(bytes))
    throw Error(ErrorCode::peer, "reading a layout", std::string(what) + " does not parse");
  return message;
}

}  // namespace

ReceivedTree::ReceivedTree() : files(make_file_opener()) {}

ReceivedTree::~ReceivedTree() = default;

void ReceivedTree::apply_layout(const wire::Layout& layout, const DestinationContext& context) {
  follow(layout, context);
  for (const wire::SpaceLayout& space : layout.spaces()) map_space(space);
}

void ReceivedTree::follow(const wire::Layout& layout, const DestinationContext& context) {
  const bool first = vessels.empty();
  if (first) {
    if (layout.spaces().empty()) throw Error(ErrorCode::peer, "following the source", "a layout without memory");
    unshare_time({layout.spaces(0).monotonic_ns(), layout.spaces(0).boottime_ns()});
    group.emplace(FreezerGroup::create_below(::getpid(), group_name(context.options.session)));
  }
  const Fd group_dir = group->directory();
  vessels.follow(wire::task_nodes(layout.tasks()), wire::fork_plan(layout.forks()), group_dir.get(), shmem.ptys());
  if (vessels.empty()) throw Error(ErrorCode::peer, "following the source", "a layout in which nothing is alive");
  if (first && !group_dir) {
    for (const Vessel* vessel : vessels.all()) group->add(vessel->pid());
  }
}

void ReceivedTree::map_space(const wire::SpaceLayout& space) {
  Vessel& vessel = vessels.at(static_cast<pid_t>(space.space()));
  for (const std::string& bytes : space.files()) files->add(parse<img::file_entry>(bytes, "a file entry"));
  if (images.contains(image_file::kRemapFpath)) files->add_ghosts(images);
  for (const std::string& bytes : space.memfds()) shmem.memfd(parse<img::memfd_inode_entry>(bytes, "a memfd entry"));
  for (const std::string& bytes : space.segments()) shmem.segment(parse<img::ipc_shm_entry>(bytes, "a segment"));
  std::vector<uint64_t>& charged = commit_charged[vessel.pid()];
  charged.assign(space.commit_charged().begin(), space.commit_charged().end());
  vessel.memory().apply_layout(parse<img::mm_entry>(space.mm(), "the memory description"), charged, *files, shmem);
}

void ReceivedTree::add_images(const wire::Images& message) {
  for (const wire::ImageFile& file : message.files()) {
    images.erase(file.name());
    images.insert(file.name(), file.content());
  }
}

void ReceivedTree::become_urgent(const EngineOptions& options) {
  if (!realtime.empty()) throw Error(ErrorCode::peer, "following the source", "Freeze came twice");
  realtime.emplace_back(::getpid());
  if (options.front > 0) realtime.emplace_back(options.front);
  for (const Vessel* vessel : vessels.all()) make_realtime(vessel->pid());
}

}  // namespace crx
