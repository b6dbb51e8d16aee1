// Parses /proc/PID/maps and /proc/PID/smaps (proc_pid_maps(5), proc_pid_smaps(5), fs/proc/task_mmu.c).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace crx::proc {

// The kind of a mapping, according to the last column.
enum class MapKind {
  anonymous,         // the column is empty or [anon:NAME]
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

// One line. Addresses and pgoff are in bytes.
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
  // For the kind `file`, the path; for other kinds their NAME, if any. "\012" is converted back into a newline; a file
  // whose name really contains "\012" cannot be told apart here (/proc/PID/map_files can).
  std::string name;
  bool deleted = false;  // kind file: the kernel printed " (deleted)" after the path

  uint64_t bytes() const { return end - start; }
  bool contains(uint64_t addr) const { return addr >= start && addr < end; }
  int prot() const;  // PROT_READ | PROT_WRITE | PROT_EXEC bits
  // Whether the mapping, of any kind, is backed by an inode. The inode number of a System V segment is its id, which
  // may be 0.
  bool has_inode() const { return inode != 0 || kind == MapKind::sysv_shm; }
  bool operator==(const MapsEntry&) const = default;
};

// Parses one line without its newline.
MapsEntry parse_maps_line(std::string_view line);
// Parses the whole file. Throws Error(kernel) also when the entries are not in ascending order.
std::vector<MapsEntry> parse_maps(std::string_view text);
// The same; nothing where the entries do not ascend, as they may not where a process maps and unmaps while its file is
// being read.
std::optional<std::vector<MapsEntry>> try_parse_maps(std::string_view text);
// For a running process that changes its mappings faster than they can be read: an entry replaces the earlier ones, or
// the parts of them, that it overlaps. The result ascends, and is as old as any list of a running process.
std::vector<MapsEntry> parse_torn_maps(std::string_view text);

// One mapping of /proc/PID/smaps. Sizes are in KiB, as printed.
struct SmapsEntry {
  MapsEntry map;
  uint64_t kernel_page_size_kib = 0;
  uint64_t rss_kib = 0;
  uint64_t anonymous_kib = 0;
  uint64_t anon_huge_kib = 0;
  uint64_t swap_kib = 0;
  uint64_t locked_kib = 0;
  uint32_t protection_key = 0;
  std::string vm_flags;  // two letters per flag, each with a trailing blank: "rd wr mr mw me ac "

  // Whether vm_flags contains this flag (two letters).
  bool has(std::string_view flag) const;
};

// Parses /proc/PID/smaps. In ascending order of the addresses. Unknown detail lines are skipped; throws Error(kernel)
// on a malformed line. Reading the file costs 8-17 ms per GiB of resident memory, so it is not used while a tree is
// frozen.
std::vector<SmapsEntry> parse_smaps(std::string_view text);

}  // namespace crx::proc
