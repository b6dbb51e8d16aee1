// Opens the files of an image set: by path where they are the same here, from carried content where they are not.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "common/base/fd.hpp"
#include "common/image/image_io.hpp"
#include "common/image/schema/files.pb.h"

namespace crx {

// Knows the file entries by id (added as layouts and images bring them). Every file is opened in our own process;
// descriptors reach a vessel with pidfd_getfd(2) (Vessel::plan_inject). Throws Error(refused) naming the file where it
// is missing or another one.
class FileOpener {
 public:
  virtual ~FileOpener() = default;
  // Later entries for the same id replace earlier ones.
  virtual void add(const img::file_entry& entry) = 0;
  virtual const img::file_entry& entry(uint32_t id) const = 0;
  // Opens regular file (or directory) `id` for a mapping, an exe link, cwd or root: a new description with the flags
  // of the entry, O_CREAT and O_TRUNC never.
  // The size of a file that is only read is compared.
  virtual Fd open(uint32_t id) = 0;
  // The same for an open file description as it was when the task was stopped: the size is compared in any case.
  virtual Fd open_description(uint32_t id) = 0;
  // Only finds it (O_PATH): what must not be opened in the way of its entry.
  virtual Fd locate(uint32_t id) = 0;
  // Deleted files whose content is carried (remap-fpath.img, ghost-file-*.img). Made without a name on the filesystem
  // they were on. Called again with newer content it changes the same files. Before open() of any of them. Those that
  // have a name (--with-files) are made beside it, under a name of ours.
  virtual void add_ghosts(const ImageSource& images) = 0;
  // Step 4 of the cutover: gives carried files their names; what had a name before has ours then. Undone when the
  // opener goes before resumed(). Throws Error(refused) naming the file.
  virtual void commit() = 0;
  // The move is decided: removes what carried files replaced, and the names that the source made (link_remap).
  virtual void resumed() noexcept = 0;
};

std::unique_ptr<FileOpener> make_file_opener();

}  // namespace crx
