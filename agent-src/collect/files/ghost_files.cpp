#include "agent-src/collect/files/ghost_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <vector>

#include "agent-src/collect/kind/registry.hpp"
#include "common/base/error.hpp"
#include "common/base/size.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/regular.pb.h"

namespace crx {
namespace {

struct Extent {
  off_t start = 0;
  off_t end = 0;
};

// Returns the parts of the file that have content; one part on a filesystem without SEEK_DATA.
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
    if (n == 0) break;  // truncated meanwhile: the rest is zeros
    done += static_cast<std::size_t>(n);
  }
  return bytes;
}

void set_time(img::timeval& to, const timespec& from) {
  to.set_tv_sec(static_cast<uint64_t>(from.tv_sec));
  to.set_tv_usec(static_cast<uint64_t>(from.tv_nsec / 1000));
}

img::ghost_file_entry describe_ghost(const struct stat& st) {
  img::ghost_file_entry ghost;
  ghost.set_uid(st.st_uid);
  ghost.set_gid(st.st_gid);
  ghost.set_mode(st.st_mode);
  ghost.set_dev(static_cast<uint32_t>(st.st_dev));
  ghost.set_ino(st.st_ino);
  if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) ghost.set_rdev(static_cast<uint32_t>(st.st_rdev));
  set_time(*ghost.mutable_atim(), st.st_atim);
  set_time(*ghost.mutable_mtim(), st.st_mtim);
  return ghost;
}

// Writes a ghost that is not a regular file. A removed directory is empty; the content of a FIFO is in fifo-data.img.
void write_node(int fd, const struct stat& st, const std::string& image, const std::string& name, ImageSink& images) {
  img::ghost_file_entry ghost = describe_ghost(st);
  if (S_ISLNK(st.st_mode)) {
    std::string target(PATH_MAX, '\0');
    const ssize_t size = ::readlinkat(fd, "", target.data(), target.size());
    if (size < 0) throw_errno("reading a deleted link", name);
    target.resize(static_cast<std::size_t>(size));
    ghost.set_symlnk_target(target);
  }
  images.append(image, ghost);
}

void write_content(int fd, const struct stat& st, const std::string& image, const std::string& name,
                   ImageSink& images) {
  const std::vector<Extent> extents = data_extents(fd, st.st_size);
  const bool whole = extents.size() == 1 && extents[0].start == 0 && extents[0].end == st.st_size;
  img::ghost_file_entry ghost = describe_ghost(st);
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

// The ghost's type is read without opening it: the other end of a FIFO would notice, and a device might react.
void write_ghost(const FileTable::Deleted& file, int found, const struct stat& st, ImageSink& images) {
  const std::string image = image_file::ghost_file(file.ghost);
  if (!S_ISREG(st.st_mode)) return write_node(found, st, image, file.path, images);
  const Fd fd = open_checked(fmt::format("/proc/self/fd/{}", found), O_RDONLY | O_NONBLOCK);
  write_content(fd.get(), st, image, file.path, images);
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
  if (S_ISSOCK(st.st_mode))
    return NameProblem{"it is the name of a socket, which is deleted", "close it or make it again"};
  if (!S_ISREG(st.st_mode)) return std::nullopt;
  const auto bytes = std::min(static_cast<uint64_t>(st.st_size), static_cast<uint64_t>(st.st_blocks) * 512);
  if (bytes <= limit_bytes) return std::nullopt;
  return NameProblem{fmt::format("it is deleted and its content of {} is over the limit of {}", format_size(bytes),
                                 format_size(limit_bytes)),
                     fmt::format("raise --ghost-limit to at least {}", bytes)};
}

FileTable::Deleted deleted_file(const OpenFile& file, uint32_t id, std::string path) {
  FileTable::Deleted deleted{id, file.proc_link(), std::move(path)};
  if (file.numbers.empty()) {
    deleted.held = std::make_shared<const Fd>(duplicate(file.own.get()));
    deleted.link = fmt::format("/proc/self/fd/{}", deleted.held->get());
  }
  return deleted;
}

void describe_device(const OpenFile& file, FdContext& context, img::file_entry& entry) {
  const FileName found = find_name(file.pid, file.link, file.st);
  if (found.state == NameState::deleted)
    context.task.files.add_deleted(deleted_file(file, file.id, found.path), file.st);
  entry.set_type(img::REG);
  img::reg_file_entry& reg = *entry.mutable_reg();
  reg.set_id(file.id);
  reg.set_flags(file.info.flags);
  reg.set_pos(S_ISBLK(file.st.st_mode) ? static_cast<uint64_t>(std::max<int64_t>(file.info.pos, 0)) : 0);
  *reg.mutable_fown() = read_file_owner(file);
  reg.set_name(found.path);
  reg.set_mode(file.st.st_mode);
  context.extra(file).set_rdev(static_cast<uint32_t>(file.st.st_rdev));
}

void write_ghosts(const FileTable& files, uint64_t limit_bytes, ImageSink& images) {
  std::set<uint32_t> written;
  for (const FileTable::Deleted& file : files.deleted()) {
    const Fd fd = try_open(file.link, O_PATH);
    if (!fd && errno == ENOENT) continue;  // it was mapped in an earlier round and is not any more
    struct stat st {};
    if (!fd || ::fstat(fd.get(), &st) != 0) throw_errno("looking at a deleted file", file.path);
    if (const auto problem = file.named ? std::nullopt : ghost_problem(st, limit_bytes)) {
      throw Error(ErrorCode::refused, "carrying deleted files", file.path + ": " + problem->reason)
          .with_hint(problem->remedy);
    }
    if (written.insert(file.ghost).second) write_ghost(file, fd.get(), st, images);
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

CollectorPtr make_ghost_files_collector() {
  return std::make_unique<GhostFiles>();
}

}  // namespace crx
