// Deleted files that are still open, mapped or a task's directory: their kind and content travel with the images.
#pragma once

#include <sys/stat.h>

#include <optional>

#include "agent-src/collect/kind/fd_kind.hpp"
#include "agent-src/collect/kind/file_name.hpp"
#include "agent-src/collect/kind/file_table.hpp"
#include "agent-src/tree/open_file.hpp"
#include "common/image/image_io.hpp"

namespace crx {

// Returns why a deleted file cannot be carried along (a socket, larger than --ghost-limit); nothing if it can.
std::optional<NameProblem> ghost_problem(const struct stat& st, uint64_t limit_bytes);

// Makes the FileTable entry for an open description of a deleted file, which was at `path`. The tree is frozen.
FileTable::Deleted deleted_file(const OpenFile& file, uint32_t id, std::string path);

// Fills the message of a device that is opened again by name; a device whose name was removed is carried along. The
// tree is frozen.
void describe_device(const OpenFile& file, FdContext& context, img::file_entry& entry);

// Writes ghost-file-*.img and remap-fpath.img for all deleted files that are in the table now, each inode once. Reads
// them through descriptions of its own. Throws Error(refused) that names the file and --ghost-limit. For mapped files
// it may also be called before the stop; the last set counts.
void write_ghosts(const FileTable& files, uint64_t limit_bytes, ImageSink& images);

}  // namespace crx
