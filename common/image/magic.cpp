#include "common/image/magic.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace crx::image_file {
namespace {

using Kind = std::pair<std::string_view, uint32_t>;

// By name, without ".img" and without the id at the end.
constexpr std::array kKinds = {
    Kind{"inventory", magic::kInventory},
    Kind{"pstree", magic::kPstree},
    Kind{"core", magic::kCore},
    Kind{"ids", magic::kIds},
    Kind{"mm", magic::kMm},
    Kind{"fs", magic::kFs},
    Kind{"fdinfo", magic::kFdinfo},
    Kind{"files", magic::kFiles},
    Kind{"pagemap", magic::kPagemap},
    Kind{"pagemap-shmem", magic::kPagemap},
    Kind{"pipes-data", magic::kPipesData},
    Kind{"fifo-data", magic::kFifoData},
    Kind{"sk-queues", magic::kSkQueues},
    Kind{"tty-info", magic::kTtyInfo},
    Kind{"tty-data", magic::kTtyData},
    Kind{"remap-fpath", magic::kRemapFpath},
    Kind{"ghost-file", magic::kGhostFile},
    Kind{"tcp-stream", magic::kTcpStream},
    Kind{"filelocks", magic::kFileLocks},
    Kind{"cgroup", magic::kCgroup},
    Kind{"seccomp", magic::kSeccomp},
    Kind{"memfd", magic::kMemfdInode},
    Kind{"cpuinfo", magic::kCpuinfo},
    Kind{"utsns", magic::kUtsns},
    Kind{"ipcns-var", magic::kIpcVar},
    Kind{"ipcns-shm", magic::kIpcShm},
    Kind{"ipcns-msg", magic::kIpcMsg},
    Kind{"ipcns-sem", magic::kIpcSem},
    Kind{"mountpoints", magic::kMnts},
    Kind{"netdev", magic::kNetdev},
    Kind{"netns", magic::kNetns},
    Kind{"userns", magic::kUserns},
    Kind{"timens", magic::kTimens},
    Kind{"pidns", magic::kPidns},
    Kind{"stats-dump", magic::kStats},
    Kind{"stats-restore", magic::kStats},
    Kind{"crx-task", magic::kCrxTask},
    Kind{"crx-integrity", magic::kCrxIntegrity},
    Kind{"crx-ipc", magic::kCrxIpc},
    Kind{"crx-shmem", magic::kCrxShmem},
    Kind{"crx-pagemap", magic::kPagemap},
};

std::optional<uint32_t> lookup(std::string_view stem) {
  const auto* kind = std::find_if(kKinds.begin(), kKinds.end(), [&](const Kind& k) { return k.first == stem; });
  if (kind == kKinds.end()) return std::nullopt;
  return kind->second;
}

bool is_hex_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

}  // namespace

std::string core(uint32_t tid) {
  return fmt::format("core-{}.img", tid);
}
std::string ids(uint32_t pid) {
  return fmt::format("ids-{}.img", pid);
}
std::string mm(uint32_t pid) {
  return fmt::format("mm-{}.img", pid);
}
std::string fs(uint32_t pid) {
  return fmt::format("fs-{}.img", pid);
}
std::string fdinfo(uint32_t files_id) {
  return fmt::format("fdinfo-{}.img", files_id);
}
std::string pagemap(uint64_t pid) {
  return fmt::format("pagemap-{}.img", pid);
}
std::string pagemap_shmem(uint64_t shmid) {
  return fmt::format("pagemap-shmem-{}.img", shmid);
}
std::string pages(uint32_t pages_id) {
  return fmt::format("pages-{}.img", pages_id);
}
std::string ghost_file(uint32_t remap_id) {
  return fmt::format("ghost-file-{:x}.img", remap_id);
}
std::string tcp_stream(uint32_t inode) {
  return fmt::format("tcp-stream-{:x}.img", inode);
}
std::string timens(uint32_t ns_id) {
  return fmt::format("timens-{}.img", ns_id);
}
std::string utsns(uint32_t ns_id) {
  return fmt::format("utsns-{}.img", ns_id);
}
std::string mountpoints(uint32_t ns_id) {
  return fmt::format("mountpoints-{}.img", ns_id);
}
std::string crx_task(uint32_t pid) {
  return fmt::format("crx-task-{}.img", pid);
}
std::string crx_shmem(uint64_t shmid) {
  return fmt::format("crx-shmem-{}.img", shmid);
}
std::string crx_pagemap(uint64_t pid) {
  return fmt::format("crx-pagemap-{}.img", pid);
}
std::string ipc_segments(uint32_t ns_id) {
  return fmt::format("ipcns-shm-{}.img", ns_id);
}
std::string ipc_sets(uint32_t ns_id) {
  return fmt::format("ipcns-sem-{}.img", ns_id);
}
std::string ipc_queues(uint32_t ns_id) {
  return fmt::format("ipcns-msg-{}.img", ns_id);
}

std::optional<uint32_t> magic_of(std::string_view name) {
  if (!name.ends_with(".img")) return std::nullopt;
  std::string_view stem = name.substr(0, name.size() - 4);
  if (const auto found = lookup(stem)) return found;
  const std::size_t dash = stem.rfind('-');
  if (dash == std::string_view::npos || dash + 1 == stem.size()) return std::nullopt;
  if (!std::all_of(stem.begin() + static_cast<std::ptrdiff_t>(dash) + 1, stem.end(), is_hex_digit)) {
    return std::nullopt;
  }
  return lookup(stem.substr(0, dash));
}

bool valid_name(std::string_view name) {
  if (name.size() < 5 || name.size() > 64 || name.front() == '.' || !name.ends_with(".img")) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  });
}

}  // namespace crx::image_file
