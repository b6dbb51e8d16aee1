#include "agent-src/collect/ghost_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <vector>

#include "agent-src/collect/registry.hpp"
#include "common/base/error.hpp"
#include "common/base/size.hpp"
#include "common/image/magic.hpp"
#include "common/image/regular.pb.h"

namespace crx {
namespace {

struct Extent {
  off_t start = 0;
  off_t end = 0;
};

// Parts with content; a filesystem without SEEK_DATA has one part.
std::vector<Extent> data_extents(int fd, off_t size) {
  std::vector<Extent> extents;
  for (off_t at = 0; at < size;) {
    const off_t start = ::lseek(fd, at, SEEK_DATA);
    if (start < 0) {
      if (errno == ENXIO) break;
      return {{0, size}};
    }
    const off_t end = ::lseek(fd, start, SEEK_HOLE);
    if (end <= start) break;
    extents.push_back({start, std::min(end, size)});
    at = end;
  }
  return extents;
}

std::vector<std::byte> read_extent(int fd, const Extent& extent, const std::string& name) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(extent.end - extent.start));
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::pread(fd, bytes.data() + done, bytes.size() - done, extent.start + static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("reading a deleted file", name);
    if (n == 0) break;  // cut shorter meanwhile: the rest is zeros
    done += static_cast<std::size_t>(n);
  }
  return bytes;
}

void set_time(img::timeval& to, const timespec& from) {
  to.set_tv_sec(static_cast<uint64_t>(from.tv_sec));
  to.set_tv_usec(static_cast<uint64_t>(from.tv_nsec / 1000));
}

void write_ghost(int fd, const struct stat& st, uint32_t remap_id, const std::string& name, ImageSink& images) {
  const std::string image = image_file::ghost_file(remap_id);
  const std::vector<Extent> extents = data_extents(fd, st.st_size);
  const bool whole = extents.size() == 1 && extents[0].start == 0 && extents[0].end == st.st_size;
  img::ghost_file_entry ghost;
  ghost.set_uid(st.st_uid);
  ghost.set_gid(st.st_gid);
  ghost.set_mode(st.st_mode);
  ghost.set_dev(static_cast<uint32_t>(st.st_dev));
  ghost.set_ino(st.st_ino);
  set_time(*ghost.mutable_atim(), st.st_atim);
  set_time(*ghost.mutable_mtim(), st.st_mtim);
  if (!whole && st.st_size > 0) ghost.set_chunks(true);
  ghost.set_size(static_cast<uint64_t>(st.st_size));
  images.append(image, ghost);
  for (const Extent& extent : extents) {
    const std::vector<std::byte> bytes = read_extent(fd, extent, name);
    if (!whole) {
      img::ghost_chunk_entry chunk;
      chunk.set_len(bytes.size());
      chunk.set_off(static_cast<uint64_t>(extent.start));
      images.append(image, chunk);
    }
    images.append_raw(image, bytes);
  }
}

class GhostFiles final : public Collector {
 public:
  const char* name() const override { return "ghost files"; }
  void collect_tree(CollectContext& context) override {
    write_ghosts(context.files, context.options.ghost_limit_bytes, context.images);
  }
};

}  // namespace

std::optional<NameProblem> ghost_problem(const struct stat& st, uint64_t limit_bytes) {
  if (!S_ISREG(st.st_mode)) {
    return NameProblem{"it is deleted, and only regular files can be carried along", "close it or make it again"};
  }
  const auto bytes = std::min(static_cast<uint64_t>(st.st_size), static_cast<uint64_t>(st.st_blocks) * 512);
  if (bytes <= limit_bytes) return std::nullopt;
  return NameProblem{fmt::format("it is deleted and its content of {} is over the limit of {}", format_size(bytes),
                                 format_size(limit_bytes)),
                     fmt::format("raise --ghost-limit to at least {}", bytes)};
}

void write_ghosts(const FileTable& files, uint64_t limit_bytes, ImageSink& images) {
  std::set<uint32_t> written;
  for (const FileTable::Deleted& file : files.deleted()) {
    const Fd fd = try_open(file.link, O_RDONLY | O_NONBLOCK);
    if (!fd && errno == ENOENT) continue;  // was mapped in an earlier round, and is not any more
    struct stat st {};
    if (!fd || ::fstat(fd.get(), &st) != 0) throw_errno("looking at a deleted file", file.path);
    if (const auto problem = file.named ? std::nullopt : ghost_problem(st, limit_bytes)) {
      throw Error(ErrorCode::refused, "carrying deleted files", file.path + ": " + problem->reason).with_hint(problem->remedy);
    }
    if (written.insert(file.ghost).second) write_ghost(fd.get(), st, file.ghost, file.path, images);
    img::remap_file_path_entry remap;
    remap.set_orig_id(file.id);
    remap.set_remap_id(file.ghost);
    remap.set_remap_type(img::GHOST);
    if (file.named) remap.set_crx_path(file.path);
    images.append(image_file::kRemapFpath, remap);
  }
  for (const FileTable::Linked& file : files.linked()) {
    img::remap_file_path_entry remap;
    remap.set_orig_id(file.id);
    remap.set_remap_id(file.named_as);
    remap.set_remap_type(img::LINKED);
    images.append(image_file::kRemapFpath, remap);
  }
}

CollectorPtr make_ghost_files_collector() { return std::make_unique<GhostFiles>(); }

}  // namespace crx
