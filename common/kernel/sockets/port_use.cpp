#include "common/kernel/sockets/port_use.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <set>
#include <sstream>
#include <vector>

#include "common/base/fd.hpp"
#include "common/proc/proc_dir.hpp"

namespace crx {
namespace {

struct PortUse {
  std::set<std::string> held;  // sockets, in the form of the links in /proc/PID/fd
  std::set<uint16_t> lingers;  // remote ports of sockets without an owner
};

void look_for_port(const char* table, uint16_t port, PortUse& use) {
  const Fd file = try_open(fmt::format("/proc/self/net/{}", table), O_RDONLY);
  if (!file) return;
  std::istringstream lines(read_fd(file.get(), table, std::size_t{64} << 20));
  const std::string wanted = fmt::format(":{:04X}", port);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string number, local, remote, state, inode;
    words >> number >> local >> remote >> state;
    if (!local.ends_with(wanted)) continue;
    for (int i = 0; i < 6 && words >> inode; ++i) {
    }
    if (inode == "0")
      use.lingers.insert(static_cast<uint16_t>(std::strtoul(remote.substr(remote.find(':') + 1).c_str(), nullptr, 16)));
    if (inode != "0") use.held.insert(fmt::format("socket:[{}]", inode));
  }
}

// " by pid 12 (nginx)", or an empty text. Skips this process, which may hold the port on behalf of the process that is
// being restored.
std::string owner_of(const std::set<std::string>& held) {
  for (const pid_t pid : list_processes()) {
    const std::optional<ProcDir> process = ProcDir::open(pid);
    if (!process || pid == ::getpid()) continue;
    for (const int fd : process->descriptors().value_or(std::vector<int>())) {
      if (held.contains(process->descriptor(fd).value_or("")))
        return fmt::format(" by pid {} ({})", pid, process->comm().value_or("?"));
    }
  }
  return {};
}

}  // namespace

PortTaken explain_port(int type, uint16_t port) {
  const bool stream = type == SOCK_STREAM;
  PortUse use;
  look_for_port(stream ? "tcp" : "udp", port, use);
  look_for_port(stream ? "tcp6" : "udp6", port, use);
  const std::string owner = use.held.empty() ? std::string() : owner_of(use.held);
  if (owner.empty() && !use.lingers.empty()) {
    return {
        "is held here for a minute by connections that are over (TIME_WAIT), since its program does not use "
        "SO_REUSEADDR",
        "try again in a minute (see ss -tan), or use a network namespace in which the port is free", use.lingers};
  }
  return {"is in use here" + owner, "end that program, or use a network namespace in which the port is free", {}};
}

}  // namespace crx
