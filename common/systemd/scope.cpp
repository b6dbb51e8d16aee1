#include "common/systemd/scope.hpp"

#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <sstream>
#include <vector>

#include "common/base/backoff.hpp"
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/proc/cgroup.hpp"
#include "common/proc/mountinfo.hpp"

namespace crx {
namespace {

constexpr char kScopeStep[] = "making a scope";
constexpr uint64_t kAnswerUs = 3'000'000;
constexpr int64_t kStartedMs = 3'000;
constexpr int kMoveRounds = 16;  // limit for a program that forks all the time

void checked(int result, const char* what) {
  if (result < 0) throw_errno(kScopeStep, what, -result);
}

struct CloseBus {
  void operator()(sd_bus* bus) const noexcept { ::sd_bus_flush_close_unref(bus); }
};
struct DropMessage {
  void operator()(sd_bus_message* message) const noexcept { ::sd_bus_message_unref(message); }
};

std::unique_ptr<sd_bus, CloseBus> open_bus() {
  sd_bus* bus = nullptr;
  checked(::sd_bus_open_system(&bus), "the system bus");
  std::unique_ptr<sd_bus, CloseBus> owner(bus);
  checked(::sd_bus_set_method_call_timeout(bus, kAnswerUs), "the system bus");
  return owner;
}

// PID 0 is the process that asks.
void start_scope(const std::string& name, const std::string& description) {
  const auto bus = open_bus();
  sd_bus_message* made = nullptr;
  checked(::sd_bus_message_new_method_call(bus.get(), &made, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                                           "org.freedesktop.systemd1.Manager", "StartTransientUnit"),
          "a message");
  const std::unique_ptr<sd_bus_message, DropMessage> call(made);
  checked(::sd_bus_message_append(made, "ss", name.c_str(), "fail"), "a message");
  checked(::sd_bus_message_append(made, "a(sv)", 5, "Description", "s", description.c_str(), "PIDs", "au", 1,
                                  uint32_t{0}, "Delegate", "b", 1, "TasksMax", "t", UINT64_MAX, "CollectMode", "s",
                                  "inactive-or-failed"),
          "a message");
  checked(::sd_bus_message_append(made, "a(sa(sv))", 0), "a message");
  sd_bus_error error = SD_BUS_ERROR_NULL;
  const int result = ::sd_bus_call(bus.get(), made, 0, &error, nullptr);
  const std::string text = error.message != nullptr ? error.message : "";
  ::sd_bus_error_free(&error);
  if (result < 0) throw Error(ErrorCode::kernel, kScopeStep, "systemd: " + text, -result);
}

bool holds(const proc::MountEntry& mount, const proc::CgroupEntry& entry) {
  if (entry.is_v2()) return mount.fs_type == "cgroup2";
  return mount.fs_type == "cgroup" && ("," + mount.super_options + ",").find(",name=systemd,") != std::string::npos;
}

// The directories of our own groups in systemd's hierarchies, if they are the scope's: one, or two on a host that has
// both versions.
std::vector<std::string> find_scope(const std::string& name) {
  std::vector<std::string> found;
  const std::vector<proc::MountEntry> mounts = proc::parse_mountinfo(read_file("/proc/self/mountinfo"));
  for (const proc::CgroupEntry& entry : proc::parse_cgroup(read_file("/proc/self/cgroup"))) {
    if ((!entry.is_v2() && !entry.has("name=systemd")) || !entry.path.ends_with("/" + name)) continue;
    for (const proc::MountEntry& mount : mounts) {
      const bool whole = mount.root == "/";
      if (!holds(mount, entry) || (!whole && !entry.path.starts_with(mount.root + "/"))) continue;
      found.push_back(mount.mount_point + entry.path.substr(whole ? 0 : mount.root.size()));
      break;
    }
  }
  return found;
}

// Systemd answers before the scope has started.
std::vector<std::string> await_scope(const std::string& name) {
  const Deadline deadline = Deadline::in_ms(kStartedMs);
  for (Backoff backoff;; backoff.wait()) {
    std::vector<std::string> found = find_scope(name);
    if (!found.empty()) return found;
    if (deadline.passed()) throw Error(ErrorCode::kernel, kScopeStep, "systemd does not start " + name);
  }
}

void move_process(const std::string& pid, const std::string& group) {
  try {
    write_file(group + "/cgroup.procs", pid);
  } catch (const Error& error) {
    if (error.err() != ESRCH) throw;
  }
}

}  // namespace

bool systemd_runs() noexcept {
  return ::sd_booted() > 0;
}

void move_to_scope(const std::string& name, const std::string& description, const std::string& group) {
  start_scope(name, description);
  const std::vector<std::string> scope = await_scope(name);
  for (int round = 0; round < kMoveRounds; ++round) {
    std::istringstream pids(read_file(group + "/cgroup.procs"));
    bool any = false;
    for (std::string pid; pids >> pid; any = true) {
      for (const std::string& to : scope) move_process(pid, to);
    }
    if (!any) break;
  }
  (void)::rmdir(group.c_str());
}

}  // namespace crx
