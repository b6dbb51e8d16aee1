// The identity of a file. Every file that a tree has open or mapped must be the same file at the other host.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "common/base/fd.hpp"

namespace crx {

// A file as one host sees it.
struct FileIdentity {
  std::string path;  // in the mount namespace of the task
  uint64_t dev = 0, ino = 0;
  uint64_t size = 0;
  uint32_t mode = 0;  // st_mode
  uint64_t rdev = 0;
  int64_t mtime_ns = 0;
  std::string build_id;  // raw bytes of an ELF file's build id
  std::string digest;    // XXH3-128 of the content, raw bytes; empty when the content was not read
  // network or cluster filesystem: type and source; block device: block_device_identity(); else empty
  std::string storage;
  bool mapped = false;
  bool writable = false;  // open or mapped for writing
  std::string used_by;    // "pid 12 fd 3", for messages
};

// How much of a file is read to identify its content.
enum class ContentCheck {
  metadata,  // the file is not opened, because that would break a lease
  none,      // metadata and build-id only
  small,     // a digest if there is no build id and the file is not larger than 64 MiB
  full,      // a digest in any case
};

// Inspects the file behind `link` (a /proc link or a path); `path` is stored in the result. Throws Error naming it.
FileIdentity identify_file(const std::string& link, std::string path, ContentCheck check);

// Tells whether a file is still the one that was seen, with the content that it had: any change of it changes ctime_ns.
struct FileStamp {
  uint64_t dev = 0, ino = 0;
  int64_t ctime_ns = 0;
  bool operator==(const FileStamp&) const = default;
};
// file: any descriptor of it, O_PATH too. Throws Error naming `path`.
FileStamp stamp_of(int file, const std::string& path);

// How the files of this host are looked at: by default with the rights of this process.
class FileAccess {
 public:
  virtual ~FileAccess() = default;
  // As try_find() for an absolute path.
  virtual Fd find(const std::string& path, int flags) const;
  // Opens the regular file that `found` (O_PATH) refers to for reading. Returns an empty Fd and leaves errno set.
  virtual Fd read(int found) const;
  // Called before each piece of content is read; throws Error to stop.
  virtual void before_piece(uint64_t /*bytes*/) const {}
};

// Why the file that `found` (O_PATH) refers to is not the wanted one; nullopt if it is. same_kernel: both hosts run on
// one kernel, so device and inode numbers decide. Otherwise the file must be on shared storage with the same source and
// inode number, or have the same content by build id or digest, as far as `wanted` has them; a written file without any
// information on its content is only checked for existence. Device files must have the same device number; block
// devices must also be the same disk. Content is read only where the sizes are equal.
std::optional<std::string> file_difference(int found, const FileIdentity& wanted, bool same_kernel,
                                           const FileAccess& reader = {});
// The same for the file at wanted.path, which is also different if there is none, or a symbolic link on the way to it.
// here: receives the stamp of the file that was found, from before its content was read.
std::optional<std::string> file_difference(const FileIdentity& wanted, bool same_kernel, const FileAccess& reader = {},
                                           FileStamp* here = nullptr);

}  // namespace crx
