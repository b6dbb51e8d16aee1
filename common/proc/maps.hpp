// /proc/PID/maps (proc_pid_maps(5), fs/proc/task_mmu.c).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace crx::proc {

// What the last column says a mapping is.
enum class MapKind {
  anonymous,         // nothing, or [anon:NAME]
  file,              // a path
  heap,              // [heap]
  stack,             // [stack]
  vdso,              // [vdso]
  vvar,              // [vvar]
  vvar_vclock,       // [vvar_vclock] (Linux 6.13)
  vsyscall,          // [vsyscall]
  shared_anonymous,  // MAP_SHARED|MAP_ANONYMOUS: "/dev/zero (deleted)" or [anon_shmem:NAME]
  memfd,             // "/memfd:NAME (deleted)"
  sysv_shm,          // "/SYSV... (deleted)"
  anon_inode,        // "anon_inode:..." (io_uring, perf, bpf)
  aio_ring,          // "/[aio] (deleted)"
  other,             // another name in brackets: [uprobes], ...
};

// One line. Addresses and pgoff in bytes.
struct MapsEntry {
  uint64_t start = 0;
  uint64_t end = 0;
  bool readable = false;
  bool writable = false;
  bool executable = false;
  bool shared = false;
  uint64_t pgoff = 0;
  uint32_t dev_major = 0;
  uint32_t dev_minor = 0;
  uint64_t inode = 0;
  MapKind kind = MapKind::anonymous;
  // kind file: the path. Other kinds: the NAME, where they have one. "\012" is turned back into a newline; a
  // file whose name really holds "\012" cannot be told apart (map_files can).
  std::string name;
  bool deleted = false;  // kind file: " (deleted)" stood behind the path

  uint64_t bytes() const { return end - start; }
  bool contains(uint64_t addr) const { return addr >= start && addr < end; }
  int prot() const;  // PROT_
  // Backed by an inode, in whatever kind. That of a System V segment is its id, which may be 0.
  bool has_inode() const { return inode != 0 || kind == MapKind::sysv_shm; }
  bool operator==(const MapsEntry&) const = default;
};

// One line without its newline.
MapsEntry parse_maps_line(std::string_view line);
// The whole file. Error(kernel) also when the entries do not ascend.
std::vector<MapsEntry> parse_maps(std::string_view text);

}  // namespace crx::proc
