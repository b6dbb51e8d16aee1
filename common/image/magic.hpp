// Names, magic numbers and constants of CRIU's image format (version 2, "V1.1"), and of the files that crx adds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace crx {

namespace magic {
inline constexpr uint32_t kCommon = 0x54564319;   // first word of every image except the inventory
inline constexpr uint32_t kService = 0x55105940;  // first word of stats-*.img
inline constexpr uint32_t kInventory = 0x58313116;
inline constexpr uint32_t kPstree = 0x50273030;
inline constexpr uint32_t kFdinfo = 0x56213732;
inline constexpr uint32_t kPagemap = 0x56084025;
inline constexpr uint32_t kCore = 0x55053847;
inline constexpr uint32_t kIds = 0x54432030;
inline constexpr uint32_t kPipesData = 0x56453709;
inline constexpr uint32_t kFifoData = 0x59333054;
inline constexpr uint32_t kSkQueues = 0x56264026;
inline constexpr uint32_t kUtsns = 0x54473203;
inline constexpr uint32_t kIpcVar = 0x53115007;
inline constexpr uint32_t kIpcShm = 0x46283044;
inline constexpr uint32_t kIpcMsg = 0x55453737;
inline constexpr uint32_t kIpcSem = 0x59573019;
inline constexpr uint32_t kFs = 0x51403912;
inline constexpr uint32_t kMm = 0x57492820;
inline constexpr uint32_t kRemapFpath = 0x59133954;
inline constexpr uint32_t kGhostFile = 0x52583605;
inline constexpr uint32_t kTcpStream = 0x51465506;
inline constexpr uint32_t kMnts = 0x55563928;
inline constexpr uint32_t kNetdev = 0x57373951;
inline constexpr uint32_t kNetns = 0x55933752;
inline constexpr uint32_t kTtyInfo = 0x59453036;
inline constexpr uint32_t kTtyData = 0x59413026;
inline constexpr uint32_t kFileLocks = 0x54323616;
inline constexpr uint32_t kCgroup = 0x59383330;
inline constexpr uint32_t kCpuinfo = 0x61404013;
inline constexpr uint32_t kUserns = 0x55474906;
inline constexpr uint32_t kSeccomp = 0x64413049;
inline constexpr uint32_t kFiles = 0x56303138;
inline constexpr uint32_t kMemfdInode = 0x48453499;
inline constexpr uint32_t kTimens = 0x43114433;
inline constexpr uint32_t kPidns = 0x61157326;
inline constexpr uint32_t kStats = 0x57093306;
// Files of crx that CRIU does not have.
inline constexpr uint32_t kCrxTask = 0x43525831;
inline constexpr uint32_t kCrxIntegrity = 0x43525832;
inline constexpr uint32_t kCrxShmem = 0x43525833;
inline constexpr uint32_t kCrxIpc = 0x43525849;
}  // namespace magic

// The file names of a set of images. Every function returns the whole name, including ".img".
namespace image_file {
inline constexpr std::string_view kInventory = "inventory.img";
inline constexpr std::string_view kPstree = "pstree.img";
inline constexpr std::string_view kFiles = "files.img";
inline constexpr std::string_view kPipesData = "pipes-data.img";
inline constexpr std::string_view kFifoData = "fifo-data.img";
inline constexpr std::string_view kSkQueues = "sk-queues.img";
inline constexpr std::string_view kTtyInfo = "tty-info.img";
inline constexpr std::string_view kTtyData = "tty-data.img";
inline constexpr std::string_view kRemapFpath = "remap-fpath.img";
inline constexpr std::string_view kFileLocks = "filelocks.img";
inline constexpr std::string_view kCgroup = "cgroup.img";
inline constexpr std::string_view kSeccomp = "seccomp.img";
inline constexpr std::string_view kMemfdInode = "memfd.img";
// memfd_inode_entry.name of an object that is no memfd, but belongs to a shared anonymous mapping.
inline constexpr std::string_view kAnonymousObjectName = "/dev/zero";
inline constexpr std::string_view kCpuinfo = "cpuinfo.img";
inline constexpr std::string_view kStatsDump = "stats-dump.img";
inline constexpr std::string_view kStatsRestore = "stats-restore.img";
inline constexpr std::string_view kCrxIntegrity = "crx-integrity.img";
// The signature of the file crx-integrity.img: CMS in DER, without magic numbers.
inline constexpr std::string_view kCrxSignature = "crx-signature.img";
inline constexpr std::string_view kCrxIpc = "crx-ipc.img";
std::string core(uint32_t tid);
std::string ids(uint32_t pid);
std::string mm(uint32_t pid);
std::string fs(uint32_t pid);
std::string fdinfo(uint32_t files_id);
std::string pagemap(uint64_t pid);
std::string pagemap_shmem(uint64_t shmid);
std::string pages(uint32_t pages_id);
std::string ghost_file(uint32_t remap_id);
std::string tcp_stream(uint32_t inode);
std::string timens(uint32_t ns_id);
std::string utsns(uint32_t ns_id);
std::string mountpoints(uint32_t ns_id);
std::string crx_task(uint32_t pid);
std::string crx_shmem(uint64_t shmid);
std::string crx_pagemap(uint64_t pid);
std::string ipc_segments(uint32_t ns_id);
std::string ipc_sets(uint32_t ns_id);
std::string ipc_queues(uint32_t ns_id);

// The magic number of an image with this name; nullopt for raw files (pages-*.img, the signature) and unknown names.
std::optional<uint32_t> magic_of(std::string_view name);
// Whether crx stores or sends a file of this name: letters, digits, '-', '_' and '.', at most 64 characters, no leading
// dot, and ".img" at the end. Names that a peer sends are checked with this before they are used in a directory.
bool valid_name(std::string_view name);
}  // namespace image_file

inline constexpr uint32_t kImageVersion = 2;  // inventory_entry.img_version

// Bits of vma_entry.status: the kind of a mapping.
namespace vma_status {
inline constexpr uint32_t kRegular = 1u << 0;
inline constexpr uint32_t kStack = 1u << 1;
inline constexpr uint32_t kVsyscall = 1u << 2;
inline constexpr uint32_t kVdso = 1u << 3;
inline constexpr uint32_t kHeap = 1u << 5;
inline constexpr uint32_t kFilePrivate = 1u << 6;
inline constexpr uint32_t kFileShared = 1u << 7;
inline constexpr uint32_t kAnonShared = 1u << 8;
inline constexpr uint32_t kAnonPrivate = 1u << 9;
inline constexpr uint32_t kSysvIpc = 1u << 10;
inline constexpr uint32_t kSocket = 1u << 11;
inline constexpr uint32_t kVvar = 1u << 12;
inline constexpr uint32_t kAioRing = 1u << 13;
inline constexpr uint32_t kMemfd = 1u << 14;
inline constexpr uint32_t kShadowStack = 1u << 15;
inline constexpr uint32_t kGuard = 1u << 16;
inline constexpr uint32_t kUprobes = 1u << 17;
}  // namespace vma_status

// Bits of pagemap_entry.flags.
namespace pagemap_flag {
inline constexpr uint32_t kParent = 1;
inline constexpr uint32_t kLazy = 2;
inline constexpr uint32_t kPresent = 4;
}  // namespace pagemap_flag

// Values of task_core_entry.task_state.
namespace task_state {
inline constexpr uint32_t kAlive = 1;
inline constexpr uint32_t kZombie = 2;
inline constexpr uint32_t kStopped = 3;
}  // namespace task_state

}  // namespace crx
