#include "agent-dst/preflight/host_requirements.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/kernel/features.hpp"
#include "common/kernel/sockets/port_use.hpp"
#include "common/proc/cgroup.hpp"
#include "common/proc/mountinfo.hpp"

namespace crx {
namespace {

void set(int fd, int level, int name, bool on) {
  const int value = on ? 1 : 0;
  (void)::setsockopt(fd, level, name, &value, sizeof value);
}

// Binds in the way the restorer will. A stream socket sets SO_REUSEADDR: its port is then free for the check even while
// closed connections of a program with SO_REUSEADDR are in TIME_WAIT.
bool port_is_taken(const NeededPort& port) {
  const bool v6 = port.address.family == AF_INET6;
  const Fd socket(::socket(port.address.family, port.type | SOCK_CLOEXEC, 0));
  if (!socket) return false;
  set(socket.get(), SOL_SOCKET, SO_REUSEADDR, port.type == SOCK_STREAM || port.reuse_address);
  set(socket.get(), SOL_SOCKET, SO_REUSEPORT, port.reuse_port);
  if (v6) set(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, port.v6only);
  // A hook may add the address later.
  set(socket.get(), v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_FREEBIND : IP_FREEBIND, true);
  const SocketAddress address = to_socket_address(port.address);
  return ::bind(socket.get(), address.get(), address.length) != 0 && errno == EADDRINUSE;
}

void check_ports(const std::vector<NeededPort>& ports, std::vector<Shortfall>& lacks) {
  std::set<std::string> named;
  for (const NeededPort& port : ports) {
    if (port.address.port == 0 || !port_is_taken(port)) continue;
    const bool stream = port.type == SOCK_STREAM;
    const std::string object =
        fmt::format("{} port {} ({})", stream ? "TCP" : "UDP", port.address.text(), port.used_by);
    if (!named.insert(fmt::format("{} {}", stream, port.address.text())).second) continue;
    auto [reason, remedy, lingers] = explain_port(port.type, port.address.port);
    if (!lingers.empty() && (!port.peer_ports || std::includes(port.peer_ports->begin(), port.peer_ports->end(),
                                                               lingers.begin(), lingers.end())))
      continue;
    lacks.push_back({object, std::move(reason), std::move(remedy)});
  }
}

// Whether a line "first outer count" of /proc/self/uid_map (or gid_map) contains the id.
bool is_mapped(const char* map, uint32_t id) {
  const Fd file = try_open(fmt::format("/proc/self/{}", map), O_RDONLY);
  if (!file) return true;
  std::istringstream lines(read_fd(file.get(), map));
  for (uint64_t first = 0, outer = 0, count = 0; lines >> first >> outer >> count;) {
    if (id >= first && id - first < count) return true;
  }
  return false;
}

void check_users(const HostRequirements& needs, std::vector<Shortfall>& lacks) {
  const auto check = [&](const char* map, const char* what, const std::set<uint32_t>& ids) {
    for (const uint32_t id : ids) {
      if (is_mapped(map, id)) continue;
      lacks.push_back({fmt::format("{} {}", what, id), "does not exist in the user namespace here",
                       fmt::format("map it (/proc/PID/{}), or run crx outside of that namespace", map)});
    }
  };
  check("uid_map", "user", needs.uids);
  check("gid_map", "group", needs.gids);
}

// nullopt if there is no such file, or no limit.
std::optional<uint64_t> number_in(const std::string& path) {
  const Fd file = try_open(path, O_RDONLY);
  if (!file) return std::nullopt;
  const std::string text = read_fd(file.get(), path);
  char* end = nullptr;
  const uint64_t value = std::strtoull(text.c_str(), &end, 10);
  if (end == text.c_str()) return std::nullopt;
  return value;
}

struct GroupFiles {
  const char *controller, *limit, *used;
  bool v2;
};

// Checks the limits from our own group upwards, since each of them applies.
void check_group(const proc::MountEntry& mount, std::string path, const GroupFiles& files, uint64_t wanted,
                 const char* unit, uint64_t divisor, std::vector<Shortfall>& lacks) {
  if (mount.root != "/" && path.starts_with(mount.root)) path = path.substr(mount.root.size());
  for (;;) {
    const std::string folder = mount.mount_point + path;
    const auto limit = number_in(folder + "/" + files.limit);
    const auto used = number_in(folder + "/" + files.used);
    if (limit && used && (*limit < *used || wanted > *limit - *used)) {
      lacks.push_back({fmt::format("control group {}", folder),
                       fmt::format("allows {} more {}, {} are needed", (*limit - std::min(*limit, *used)) / divisor,
                                   unit, wanted / divisor),
                       fmt::format("raise {} there", files.limit)});
      return;
    }
    if (path.empty() || path == "/") return;
    path.erase(path.rfind('/'));
  }
}

void check_groups(const HostRequirements& needs, std::vector<Shortfall>& lacks) {
  constexpr GroupFiles kPids[] = {{"pids", "pids.max", "pids.current", true},
                                  {"pids", "pids.max", "pids.current", false}};
  constexpr GroupFiles kMemory[] = {{"memory", "memory.max", "memory.current", true},
                                    {"memory", "memory.limit_in_bytes", "memory.usage_in_bytes", false}};
  const auto mounts = proc::parse_mountinfo(read_file("/proc/self/mountinfo"));
  for (const proc::CgroupEntry& group : proc::parse_cgroup(read_file("/proc/self/cgroup"))) {
    for (const proc::MountEntry& mount : mounts) {
      const auto look = [&](const GroupFiles& files, uint64_t wanted, const char* unit, uint64_t divisor) {
        const bool v2 = files.v2 && group.is_v2() && mount.fs_type == "cgroup2";
        const bool v1 =
            !files.v2 && group.has(files.controller) && mount.fs_type == "cgroup" &&
            ("," + mount.super_options + ",").find("," + std::string(files.controller) + ",") != std::string::npos;
        if (v1 || v2) check_group(mount, group.path, files, wanted, unit, divisor, lacks);
      };
      for (const GroupFiles& files : kPids) look(files, needs.tasks, "tasks", 1);
      for (const GroupFiles& files : kMemory) look(files, needs.memory_bytes, "MiB", 1 << 20);
    }
  }
}

// Huge pages: Documentation/admin-guide/mm/hugetlbpage.rst.
void check_huge_pages(const HostRequirements& needs, std::vector<Shortfall>& lacks) {
  for (const auto& [page_bytes, wanted] : needs.huge_pages) {
    const std::string folder = fmt::format("/sys/kernel/mm/hugepages/hugepages-{}kB/", page_bytes >> 10);
    const auto number = [&](const char* name) { return number_in(folder + name).value_or(0); };
    const auto above = [](uint64_t a, uint64_t b) { return a > b ? a - b : 0; };
    const uint64_t available = above(number("free_hugepages"), number("resv_hugepages")) +
                               above(number("nr_overcommit_hugepages"), number("surplus_hugepages"));
    if (wanted <= available) continue;
    lacks.push_back({fmt::format("huge pages of {} KiB", page_bytes >> 10),
                     fmt::format("{} are needed, {} are free", wanted, available),
                     fmt::format("raise vm.nr_hugepages (or {}nr_hugepages) here", folder)});
  }
}

}  // namespace

std::vector<Shortfall> check_host_requirements(const HostRequirements& needs) {
  std::vector<Shortfall> lacks;
  check_huge_pages(needs, lacks);
  check_ports(needs.ports, lacks);
  check_users(needs, lacks);
  check_groups(needs, lacks);
  return lacks;
}

std::vector<Shortfall> check_features() {
  std::vector<Shortfall> lacks;
  for (const Feature& feature : probe_features()) {
    if (feature.need != Need::migration || feature.answer != Answer::no || feature.name == "freezer") continue;
    lacks.push_back({fmt::format("kernel feature {}", feature.name),
                     fmt::format("is missing here ({}): {}", feature.what, feature.lost), std::string(feature.remedy)});
  }
  return lacks;
}

}  // namespace crx
