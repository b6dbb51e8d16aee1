// Deleted files that are still open, mapped or stood in: what they are and hold travels with the images.
#pragma once

#include <sys/stat.h>

#include <optional>

#include "agent-src/collect/kind/fd_kind.hpp"
#include "agent-src/collect/kind/file_name.hpp"
#include "agent-src/collect/kind/file_table.hpp"
#include "agent-src/tree/open_file.hpp"
#include "common/image/image_io.hpp"

namespace crx {

// Why a deleted file cannot be carried along (a socket, over the limit of --ghost-limit); nothing if it can.
std::optional<NameProblem> ghost_problem(const struct stat& st, uint64_t limit_bytes);

// An open description of a deleted file as FileTable wants it: entry `id`, once at `path`. The tree is frozen.
FileTable::Deleted deleted_file(const OpenFile& file, uint32_t id, std::string path);

// Fills the message of a device that is opened again by name; one whose name was removed is carried along. The tree is
// frozen.
void describe_device(const OpenFile& file, FdContext& context, img::file_entry& entry);

// Writes ghost-file-*.img and remap-fpath.img for all deleted files of the table as they are now, each inode once.
// Reads through descriptions of its own. Throws Error(refused) naming the file and --ghost-limit. For files that are
// mapped it can be called before the freeze as well; the last set counts.
void write_ghosts(const FileTable& files, uint64_t limit_bytes, ImageSink& images);

}  // namespace crx
