#include "agent-dst/restore_check.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <set>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/image/core.pb.h"
#include "common/image/files.pb.h"
#include "common/image/inventory.pb.h"
#include "common/image/magic.hpp"
#include "common/image/regular.pb.h"
#include "common/kernel/file_identity.hpp"
#include "wire/host_info.hpp"

namespace crx {
namespace {

constexpr char kSameFile[] = "put the same file there";

void check_host(const ImageSet& set, std::vector<RestoreFinding>& findings) {
  const Manifest* manifest = set.manifest();
  if (manifest == nullptr || !manifest->head().has_host_info()) return;
  wire::HostInfo source;
  if (!source.ParseFromString(manifest->head().host_info())) return;
  for (const wire::Finding& found : wire::compare_hosts(source, wire::local_host_info())) {
    if (found.fatal()) findings.push_back({found.object(), found.reason(), found.remedy()});
  }
}

std::string comm_of(uint32_t pid) {
  const Fd fd = try_open(fmt::format("/proc/{}/comm", pid), O_RDONLY);
  if (!fd) return {};
  std::string comm = read_fd(fd.get(), "comm");
  while (!comm.empty() && comm.back() == '\n') comm.pop_back();
  return comm;
}

void check_pids(const ImageStore& images, std::vector<RestoreFinding>& findings) {
  const auto pid_max = std::strtoul(read_file("/proc/sys/kernel/pid_max").c_str(), nullptr, 10);
  for (const auto& node : images.read_all<img::pstree_entry>(image_file::kPstree)) {
    std::set<uint32_t> ids{node.pid()};
    const auto core = images.try_read_one<img::core_entry>(image_file::core(node.pid()));
    // CRIU lists threads of zombies too, under any number.
    if (core && core->tc().task_state() != task_state::kZombie) ids.insert(node.threads().begin(), node.threads().end());
    for (const uint32_t id : ids) {
      if (id >= pid_max) {
        findings.push_back({fmt::format("PID {}", id), fmt::format("is above pid_max {} here", pid_max), "raise kernel.pid_max"});
      } else if (::access(fmt::format("/proc/{}", id).c_str(), F_OK) == 0) {
        findings.push_back({fmt::format("PID {}", id), fmt::format("is taken by \"{}\"", comm_of(id)),
                            "end that process, or use --new-pids"});
      }
    }
  }
}

void check_memory(const ImageSet& set, std::vector<RestoreFinding>& findings) {
  uint64_t wanted = 0;
  for (const std::string& name : set.images().names()) {
    constexpr std::string_view kTask = "pagemap-", kObject = "pagemap-shmem-";
    if (!name.starts_with(kTask)) continue;
    const bool object = name.starts_with(kObject);
    const uint64_t id = std::strtoull(name.c_str() + (object ? kObject : kTask).size(), nullptr, 10);
    for (const PagePiece& piece : set.pages({object ? PageSpace::Kind::shmem : PageSpace::Kind::mm, id})) wanted += piece.range.bytes();
  }
  const std::string text = read_file("/proc/meminfo");
  const auto at = text.find("MemAvailable:");
  if (at == std::string::npos) return;
  const uint64_t available = std::strtoull(text.c_str() + at + 13, nullptr, 10) * 1024;
  if (wanted <= available) return;
  findings.push_back({"memory", fmt::format("{} MiB are needed, {} MiB are available", wanted >> 20, available >> 20), "free memory"});
}

std::string build_id_of(const img::reg_file_entry& reg) {
  std::string bytes;
  for (const uint32_t word : reg.build_id()) bytes.append(reinterpret_cast<const char*>(&word), sizeof word);
  return bytes;
}

// What comes into being with the tree.
bool is_made_with_the_tree(const std::string& path) { return path.starts_with("/proc/") || path.starts_with("/dev/pts/"); }

void check_files(const ImageStore& images, std::vector<RestoreFinding>& findings) {
  std::set<uint32_t> carried;
  for (const auto& remap : images.read_all<img::remap_file_path_entry>(image_file::kRemapFpath)) carried.insert(remap.orig_id());
  std::set<std::string> named;
  for (const auto& file : images.read_all<img::file_entry>(image_file::kFiles)) {
    if (!file.has_reg() || carried.contains(file.id()) || !file.reg().has_mode()) continue;
    const img::reg_file_entry& reg = file.reg();
    if (is_made_with_the_tree(reg.name())) continue;
    FileIdentity wanted;
    wanted.path = reg.name();
    wanted.mode = reg.mode();
    wanted.size = reg.size();
    wanted.build_id = build_id_of(reg);
    // Without a size it may have any; a device's number is not among what the entry tells.
    wanted.writable = !reg.has_size();
    if (S_ISCHR(reg.mode()) || S_ISBLK(reg.mode())) wanted.mode = 0;
    auto difference = wanted.mode == 0 ? std::optional<std::string>() : file_difference(wanted, false);
    if (wanted.mode == 0 && ::access(reg.name().c_str(), F_OK) != 0) difference = "does not exist here";
    if (difference && named.insert(reg.name()).second) findings.push_back({reg.name(), *difference, kSameFile});
  }
}

}  // namespace

std::vector<RestoreFinding> check_restore(const ImageSet& set, const ImageStore& images) {
  std::vector<RestoreFinding> findings;
  check_host(set, findings);
  check_pids(images, findings);
  check_memory(set, findings);
  check_files(images, findings);
  return findings;
}

}  // namespace crx
