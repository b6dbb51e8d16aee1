// Every named file that a task uses: mapped, open, executed, or a working or root directory.
#pragma once

#include <sys/types.h>

#include <vector>

#include "agent-src/collect/memory/memory_map.hpp"
#include "common/kernel/files/file_identity.hpp"

namespace crx {

// Which files are listed. `reading`: all, with a digest of the content of those that are only read. `written`: only
// those open or mapped for writing on storage of this host alone, with a digest of their content (the task must be
// stopped).
enum class UsedFiles { reading, written };

// Lists the files. Deleted files, pipes, sockets and the like are left out. The task may run; files that go away
// meanwhile are skipped.
std::vector<FileIdentity> used_files(pid_t pid, const MemoryMap& map, UsedFiles which);

}  // namespace crx
