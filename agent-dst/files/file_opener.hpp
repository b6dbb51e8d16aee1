// Opens the files of an image set: by path if they are the same on this host, else from carried content.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "agent-dst/files/file_rules.hpp"
#include "common/base/fd.hpp"
#include "common/image/image_io.hpp"
#include "common/image/schema/files.pb.h"

namespace crx {

// Holds the file entries by id; they are added as layouts and images arrive. Every file is opened in the agent's own
// process; a vessel gets the descriptor with pidfd_getfd(2) (VesselDescriptors::plan_inject). Throws Error(refused),
// which names the file, if it is missing or a different one.
class FileOpener {
 public:
  virtual ~FileOpener() = default;
  // A later entry replaces an earlier one with the same id.
  virtual void add(const img::file_entry& entry) = 0;
  virtual const img::file_entry& entry(uint32_t id) const = 0;
  // Opens regular file (or directory) `id` for a mapping or an exe link of `task`: a new open file description with the
  // flags of the entry, but never O_CREAT or O_TRUNC. The size is compared if the file is only read. The file is found
  // once, with the credentials of the task and without symbolic links; all comparing and opening is done with that.
  virtual Fd open(uint32_t id, pid_t task) = 0;
  // The same for an open file description as it was when its tasks were stopped: the size is compared in any case.
  // task: the first one that has it.
  virtual Fd open_description(uint32_t id, pid_t task) = 0;
  // Only locates the file (O_PATH), for files that must not be opened with the flags of their entry, and for the
  // directories of tasks.
  virtual Fd locate(uint32_t id, pid_t task) = 0;
  // Whether the file was made here from carried content.
  virtual bool is_carried(uint32_t id) const = 0;
  // The files of this host as the tasks can use them, for kinds that know paths of their own.
  virtual TaskFiles& tasks() noexcept = 0;
  // Creates deleted files from carried content (remap-fpath.img, ghost-file-*.img), without a name, on the filesystem
  // they were on, or in a directory of their own (FileRules::ghosts). Called again with newer content it changes the
  // same files. Must be called before open() of any of them. Files that have a path (--with-files) are created beside
  // it under a name of crx; throws Error(peer) for one that this host has not asked for.
  virtual void add_ghosts(const ImageSource& images) = 0;
  // Step 2 of the commit (docs/architecture.md): gives carried files their paths and keeps the previous files under
  // names of crx. Reverted if the opener is destroyed before resumed(). Throws Error(refused), which names the file.
  virtual void commit() = 0;
  // The move is decided: removes the files that carried files have replaced, and the names that the source made
  // (link_remap).
  virtual void resumed() noexcept = 0;
};

// The implementation for this host. rules: by default deleted files are made where they were, and none is carried.
std::unique_ptr<FileOpener> make_file_opener(FileRules rules = {});

}  // namespace crx
