// Which file it is: every file that a tree holds open or mapped must be the same at the other host.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace crx {

// A file as one host sees it.
struct FileIdentity {
  std::string path;  // in the mount namespace of the task
  uint64_t dev = 0, ino = 0;
  uint64_t size = 0;
  uint32_t mode = 0;  // st_mode
  uint64_t rdev = 0;
  int64_t mtime_ns = 0;
  std::string build_id;  // of an ELF file, raw bytes
  std::string digest;    // XXH3-128 of the content, raw bytes; empty where it was not read
  std::string storage;   // of a network or cluster filesystem: type and source; empty for a local one. Of a block
                        // device: block_device_identity()
  bool mapped = false;
  bool writable = false;  // open or mapped for writing
  std::string used_by;    // "pid 12 fd 3", for messages
};

// How much is read to tell a file's content.
enum class ContentCheck {
  metadata,  // the file is not opened: where that would break a lease
  none,      // metadata and build-id only
  small,     // digest, where there is no build-id and the file is not larger than 64 MiB
  full,      // digest in any case
};

// Looks at the file behind `link` (a /proc link or a path). Throws Error naming it.
FileIdentity identify_file(const std::string& link, std::string path, ContentCheck check);

// Why the file at wanted.path here is not the one wanted; nothing if it is. same_kernel: both hosts run on one kernel,
// so that device and inode numbers decide. Otherwise shared storage with the same source and inode, or the same
// content by build-id or digest, as far as `wanted` tells them; a written file of which nothing is told of content is
// only checked for being there. Devices have the same number; block devices are the same disk, too.
std::optional<std::string> file_difference(const FileIdentity& wanted, bool same_kernel);

}  // namespace crx
