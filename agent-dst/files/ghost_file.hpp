// Files without a name, created from carried content.
#pragma once

#include <cstdint>
#include <string>

#include "agent-dst/files/file_rules.hpp"
#include "common/base/fd.hpp"
#include "common/image/image_io.hpp"

namespace crx {

// Gives `file` the content and attributes of ghost-file-GHOST.img. Afterwards `file` is open for reading, or is an
// O_PATH descriptor if it is not a regular file. On the first call the file is created, and has no name afterwards: in
// rules.ghosts, or without that in the directory of `path`, its former name, or in /tmp. carried_for: of a carried file
// (`file` is it), the ids of its task, with which the kernel decides whether it gets the owner that it had; else
// nullptr. Throws Error(kernel), which names the path, when the disk is full, Error(corrupt_image), and Error(refused)
// for what rules.policy does not allow.
void fill_ghost(const ImageSource& images, uint32_t ghost, const std::string& path, const FileRules& rules,
                const FsIds* carried_for, Fd& file);

}  // namespace crx
