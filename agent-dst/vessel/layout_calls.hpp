// The system calls that make one change of a layout.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>

#include "agent-dst/files/file_opener.hpp"
#include "agent-dst/objects/shmem_table.hpp"
#include "agent-dst/vessel/layout.hpp"
#include "agent-dst/vessel/vessel_descriptors.hpp"
#include "common/base/fd.hpp"
#include "common/remote/batch.hpp"

namespace crx {

// Plans the calls for the changes of one batch. It opens each file that they map once, and closes the files when it is
// destroyed; so it must live until the batch has run. The references must outlive it.
class LayoutCalls {
 public:
  static constexpr std::size_t kMostPerChange = 12;

  // task: the vessel's, as whom files are opened.
  LayoutCalls(pid_t task, VesselDescriptors& descriptors, FileOpener& files, ShmemTable& shmem)
      : task_(task), descriptors_(descriptors), files_(files), shmem_(shmem) {}

  // Adds at most kMostPerChange calls to the batch and runs nothing. `change` must not map the vDSO
  // (Vma::is_special()). Throws Error(refused) for a file that cannot be opened, Error(peer) for a shared-memory object
  // that no message has described.
  void plan(RemoteBatch& batch, const LayoutChange& change);

 private:
  void map(RemoteBatch& batch, const Vma& vma);
  void attach(RemoteBatch& batch, const Vma& vma);
  int backing(const Vma& vma);

  pid_t task_;
  VesselDescriptors& descriptors_;
  FileOpener& files_;
  ShmemTable& shmem_;
  std::map<uint64_t, Fd> opened_;
};

}  // namespace crx
