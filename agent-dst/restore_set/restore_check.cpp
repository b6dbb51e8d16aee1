#include "agent-dst/restore_set/restore_check.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/core.pb.h"
#include "common/image/schema/creds.pb.h"
#include "common/image/schema/files.pb.h"
#include "common/image/schema/inventory.pb.h"
#include "common/image/schema/mm.pb.h"
#include "common/image/schema/regular.pb.h"
#include "common/kernel/files/file_identity.hpp"
#include "common/kernel/process/pid_holder.hpp"
#include "common/kernel/sockets/tcp_repair.hpp"
#include "common/proc/proc_dir.hpp"
#include "wire/host_info.hpp"

namespace crx {
namespace {

constexpr char kSameFile[] = "put the same file there";

void check_host(const ImageSet& set, std::vector<Shortfall>& findings) {
  const Manifest* manifest = set.manifest();
  if (manifest == nullptr || !manifest->head().has_host_info()) return;
  wire::HostInfo source;
  if (!source.ParseFromString(manifest->head().host_info())) return;
  for (const wire::Finding& found : wire::compare_hosts(source, wire::local_host_info())) {
    if (found.fatal()) findings.push_back({found.object(), found.reason(), found.remedy()});
  }
}

void check_pids(const ImageStore& images, std::vector<Shortfall>& findings) {
  const auto pid_max = std::strtol(read_file("/proc/sys/kernel/pid_max").c_str(), nullptr, 10);
  for (const pid_t id : numbers_of(images)) {
    const std::string object = fmt::format("PID {}", static_cast<uint32_t>(id));
    if (id < 0 || id >= pid_max) {
      findings.push_back({object, fmt::format("is above pid_max {} here", pid_max), "raise kernel.pid_max"});
    } else if (id == ::getppid() && comm_of(id) == "crx-restore") {
      findings.push_back({object, "is crx-restore's own", "start it again, or use --new-pids"});
    } else if (is_taken(id)) {
      const PidHolder holder = holder_of(id);
      findings.push_back({object, holder.reason, holder.remedy + ", or use --new-pids"});
    }
  }
}

uint64_t memory_of(const ImageSet& set) {
  uint64_t wanted = 0;
  for (const PageSpace space : set.spaces()) {
    for (const PagePiece& piece : set.pages(space)) wanted += piece.range.bytes();
  }
  return wanted;
}

void check_memory(uint64_t wanted, std::vector<Shortfall>& findings) {
  const std::string text = read_file("/proc/meminfo");
  const auto at = text.find("MemAvailable:");
  if (at == std::string::npos) return;
  const uint64_t available = std::strtoull(text.c_str() + at + 13, nullptr, 10) * 1024;
  if (wanted <= available) return;
  findings.push_back(
      {"memory", fmt::format("{} MiB are needed, {} MiB are available", wanted >> 20, available >> 20), "free memory"});
}

void add_users(const img::creds_entry& creds, HostRequirements& needs) {
  needs.uids.insert({creds.uid(), creds.euid(), creds.suid(), creds.fsuid()});
  needs.gids.insert({creds.gid(), creds.egid(), creds.sgid(), creds.fsgid()});
  needs.gids.insert(creds.groups().begin(), creds.groups().end());
}

void add_tasks(const ImageStore& images, HostRequirements& needs) {
  for (const auto& node : images.read_all<img::pstree_entry>(image_file::kPstree)) {
    std::set<uint32_t> threads(node.threads().begin(), node.threads().end());
    threads.insert(node.pid());
    needs.tasks += threads.size();
    for (const uint32_t tid : threads) {
      const auto core = images.try_read_one<img::core_entry>(image_file::core(tid));
      if (core && core->thread_core().has_creds()) add_users(core->thread_core().creds(), needs);
    }
  }
}

// Memory that is shared by fork, and shared objects, count once.
void add_huge_pages(const ImageStore& images, HostRequirements& needs) {
  std::map<std::pair<uint64_t, uint64_t>, uint64_t> pages;  // by (page size, object or address)
  for (const auto& node : images.read_all<img::pstree_entry>(image_file::kPstree)) {
    const auto mm = images.try_read_one<img::mm_entry>(image_file::mm(node.pid()));
    if (!mm) continue;
    for (const img::vma_entry& vma : mm->vmas()) {
      const uint32_t log = vma.flags() >> 26 & 0x3f;
      if ((vma.flags() & MAP_HUGETLB) == 0 || (vma.flags() & MAP_NORESERVE) != 0 || vma.end() <= vma.start()) continue;
      const bool shared = (vma.flags() & MAP_SHARED) != 0;
      const uint64_t size = uint64_t{1} << (log == 0 ? 21 : log);
      uint64_t& wanted = pages[{size, shared ? vma.shmid() : vma.start()}];
      wanted = std::max(wanted, (vma.end() - vma.start() + (shared ? vma.pgoff() : 0)) / size);
    }
  }
  for (const auto& [key, wanted] : pages) needs.huge_pages[key.first] += wanted;
}

// Listening sockets, and UDP sockets without a peer.
void add_ports(const ImageStore& images, HostRequirements& needs) {
  constexpr uint32_t kListening = 10;
  const auto files = images.read_all<img::file_entry>(image_file::kFiles);
  std::map<uint32_t, std::set<uint16_t>> peers;  // remote ports by local port
  for (const auto& file : files) {
    const img::inet_sk_entry& socket = file.isk();
    if (socket.type() == SOCK_STREAM && tcp_state::is_connected(socket.state()))
      peers[socket.src_port()].insert(static_cast<uint16_t>(socket.dst_port()));
  }
  for (const auto& file : files) {
    const img::inet_sk_entry& socket = file.isk();
    const bool datagrams = socket.type() == SOCK_DGRAM && socket.proto() == IPPROTO_UDP && socket.dst_port() == 0;
    const bool listens = socket.type() == SOCK_STREAM && socket.state() == kListening;
    const bool v6 = socket.family() == AF_INET6;
    if (!file.has_isk() || !(datagrams || listens) || socket.src_port() > UINT16_MAX ||
        socket.src_addr_size() < (v6 ? 4 : 1))
      continue;
    NeededPort port;
    port.address.family = v6 ? AF_INET6 : AF_INET;
    port.address.port = static_cast<uint16_t>(socket.src_port());
    std::copy_n(socket.src_addr().begin(), v6 ? 4 : 1, port.address.words.begin());
    port.type = static_cast<int>(socket.type());
    port.reuse_address = socket.opts().reuseaddr();
    port.reuse_port = socket.opts().so_reuseport();
    port.v6only = socket.v6only();
    port.peer_ports = peers[socket.src_port()];
    port.used_by = fmt::format("files.img: file {}", file.id());
    needs.ports.push_back(std::move(port));
  }
}

// All tasks must be in the namespaces of the dumping process, since the restored tree gets the namespaces of
// crx-restore.
void check_namespaces(const ImageStore& images, std::vector<Shortfall>& findings) {
  const auto inventory = images.try_read_one<img::inventory_entry>(image_file::kInventory);
  if (!inventory || !inventory->has_root_ids()) return;
  const img::task_kobj_ids_entry& dumper = inventory->root_ids();
  using Has = bool (img::task_kobj_ids_entry::*)() const;
  using Id = uint32_t (img::task_kobj_ids_entry::*)() const;
  struct Kind {
    const char* name;
    Has has;
    Id id;
  };
  using Ids = img::task_kobj_ids_entry;
  constexpr Kind kKinds[] = {
      {"PID", &Ids::has_pid_ns_id, &Ids::pid_ns_id},         {"network", &Ids::has_net_ns_id, &Ids::net_ns_id},
      {"IPC", &Ids::has_ipc_ns_id, &Ids::ipc_ns_id},         {"UTS", &Ids::has_uts_ns_id, &Ids::uts_ns_id},
      {"mount", &Ids::has_mnt_ns_id, &Ids::mnt_ns_id},       {"user", &Ids::has_user_ns_id, &Ids::user_ns_id},
      {"cgroup", &Ids::has_cgroup_ns_id, &Ids::cgroup_ns_id}};
  for (const auto& node : images.read_all<img::pstree_entry>(image_file::kPstree)) {
    const auto core = images.try_read_one<img::core_entry>(image_file::core(node.pid()));
    const auto own = images.try_read_one<img::task_kobj_ids_entry>(image_file::ids(node.pid()));
    if (!own && !(core && core->has_ids())) continue;
    const Ids& ids = own ? *own : core->ids();
    for (const Kind& kind : kKinds) {
      if (!(ids.*kind.has)() || !(dumper.*kind.has)() || (ids.*kind.id)() == (dumper.*kind.id)()) continue;
      findings.push_back({fmt::format("task {}", node.pid()),
                          fmt::format("was in a {} namespace of its own, which is not made again", kind.name),
                          "restore the set with criu"});
    }
  }
}

std::string build_id_of(const img::reg_file_entry& reg) {
  std::string bytes;
  for (const uint32_t word : reg.build_id()) bytes.append(reinterpret_cast<const char*>(&word), sizeof word);
  return bytes;
}

// Files that exist only together with the tree.
bool is_made_with_the_tree(const std::string& path) {
  return path.starts_with("/proc/") || path.starts_with("/dev/pts/");
}

void check_files(const ImageStore& images, std::vector<Shortfall>& findings) {
  std::set<uint32_t> carried;
  for (const auto& remap : images.read_all<img::remap_file_path_entry>(image_file::kRemapFpath))
    carried.insert(remap.orig_id());
  std::set<std::string> named;
  for (const auto& file : images.read_all<img::file_entry>(image_file::kFiles)) {
    if (!file.has_reg() || carried.contains(file.id()) || !file.reg().has_mode()) continue;
    const img::reg_file_entry& reg = file.reg();
    if (is_made_with_the_tree(reg.name())) continue;
    if (reg.name().empty() || reg.name().find('\0') != std::string::npos) {
      throw Error(ErrorCode::corrupt_image, "checking files",
                  fmt::format("the name of file {} is empty or contains a NUL", file.id()))
          .with_image(std::string(image_file::kFiles));
    }
    FileIdentity wanted;
    wanted.path = reg.name();
    wanted.mode = reg.mode();
    wanted.size = reg.size();
    wanted.build_id = build_id_of(reg);
    // An entry without a size allows any size; the entry has no device number.
    wanted.writable = !reg.has_size();
    if (S_ISCHR(reg.mode()) || S_ISBLK(reg.mode())) wanted.mode = 0;
    auto difference = wanted.mode == 0 ? std::optional<std::string>() : file_difference(wanted, false);
    if (wanted.mode == 0 && ::access(reg.name().c_str(), F_OK) != 0) difference = "does not exist here";
    if (difference && named.insert(reg.name()).second) findings.push_back({reg.name(), *difference, kSameFile});
  }
}

}  // namespace

std::set<pid_t> numbers_of(const ImageStore& images) {
  std::set<pid_t> numbers;
  for (const auto& node : images.read_all<img::pstree_entry>(image_file::kPstree)) {
    numbers.insert(static_cast<pid_t>(node.pid()));
    const auto core = images.try_read_one<img::core_entry>(image_file::core(node.pid()));
    // CRIU also lists threads of zombies, with arbitrary ids.
    if (!core || core->tc().task_state() == task_state::kZombie) continue;
    for (const uint32_t thread : node.threads()) numbers.insert(static_cast<pid_t>(thread));
  }
  return numbers;
}

std::vector<Shortfall> check_restore(const ImageSet& set, const ImageStore& images, bool thorough) {
  std::vector<Shortfall> findings;
  if (thorough) findings = check_features();
  HostRequirements needs;
  needs.memory_bytes = memory_of(set);
  add_tasks(images, needs);
  add_ports(images, needs);
  add_huge_pages(images, needs);
  check_host(set, findings);
  check_namespaces(images, findings);
  check_pids(images, findings);
  check_memory(needs.memory_bytes, findings);
  for (Shortfall& lack : check_host_requirements(needs)) findings.push_back(std::move(lack));
  check_files(images, findings);
  return findings;
}

}  // namespace crx
