#include "common/kernel/features.hpp"

#include <asm/prctl.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/kcmp.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/mapping.hpp"
#include "common/kernel/introspect/kernel_view.hpp"
#include "common/kernel/memory/pagemap.hpp"
#include "common/kernel/memory/userfaultfd.hpp"
#include "common/kernel/process/child_process.hpp"

namespace crx {
namespace {

struct Result {
  Answer answer = Answer::unknown;
  std::string detail;
};

Result yes() {
  return {Answer::yes, {}};
}
Result no(int err) {
  return {Answer::no, std::strerror(err)};
}
// "Not permitted" does not mean that the feature is absent.
Result from_errno(bool worked) {
  if (worked) return yes();
  return errno == EPERM || errno == EACCES
             ? Result{Answer::unknown, std::string("not permitted: ") + std::strerror(errno)}
             : no(errno);
}

// Runs a probe in a child; its exit code is 0 for yes, else an errno value.
Result in_child(const std::function<int()>& probe) {
  std::optional<ChildProcess> child = ChildProcess::try_fork(probe);
  if (!child) return {Answer::unknown, std::strerror(errno)};
  const ChildStatus status = child->wait();
  if (!status.exited()) return {Answer::no, "the probe was killed"};
  errno = status.code();
  return from_errno(errno == 0);
}

int result_of(long value) {
  return value < 0 ? errno : 0;
}

Result has_capability(int capability) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (::syscall(SYS_capget, &header, data) != 0) return {Answer::unknown, std::strerror(errno)};
  const bool has = (data[capability / 32].effective >> (capability % 32) & 1) != 0;
  return has ? yes() : Result{Answer::no, "this process does not have it"};
}

Result probe_set_tid() {
  return in_child([] {
    for (pid_t wanted = 31000; wanted > 30900; --wanted) {
      const auto child = ChildProcess::try_fork([] { return 0; }, {.wanted_pid = wanted});
      if (child) return child->pid() == wanted ? 0 : EINVAL;
      if (errno != EEXIST) return errno;
    }
    return EEXIST;
  });
}

Result probe_getfd() {
  const Fd self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  if (!self) return from_errno(false);
  const Fd copy(static_cast<int>(::syscall(SYS_pidfd_getfd, self.get(), self.get(), 0)));
  return from_errno(static_cast<bool>(copy));
}

Result probe_readv() {
  int here = 42, there = 0;
  const iovec local{&there, sizeof there}, remote{&here, sizeof here};
  return from_errno(::process_vm_readv(::getpid(), &local, 1, &remote, 1, 0) == sizeof here);
}

// Only common/remote may use ptrace, so this checks the settings and capabilities that ptrace depends on.
Result probe_trace() {
  const Fd scope = try_open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY);
  if (!scope) return yes();
  const std::string text = read_fd(scope.get(), "ptrace_scope");
  if (text.starts_with("3")) return {Answer::no, "kernel.yama.ptrace_scope is 3"};
  if (!text.starts_with("0") && has_capability(CAP_SYS_PTRACE).answer != Answer::yes) {
    return {Answer::unknown, "kernel.yama.ptrace_scope restricts it, and CAP_SYS_PTRACE is missing"};
  }
  return yes();
}

Result probe_write_protect() {
  try {
    return WriteProtectFd::supported() ? yes() : Result{Answer::no, "the kernel does not offer it"};
  } catch (const Error& error) {
    return {Answer::unknown, error.reason()};
  }
}

Result probe_vdso() {
  // When the process has a vDSO already, the call fails with EEXIST; with EINVAL when the kernel does not know it.
  const long result = ::syscall(SYS_arch_prctl, 0x2003 /* ARCH_MAP_VDSO_64 */, 0);
  return result == 0 || errno == EEXIST ? yes() : from_errno(false);
}

Result probe_guards() {
  const Mapping page = Mapping::map(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  return from_errno(::madvise(page.data(), page.size(), 102 /* MADV_GUARD_INSTALL */) == 0);
}

Result probe_map_files() {
  const Fd dir = try_open("/proc/self/map_files", O_RDONLY | O_DIRECTORY);
  if (!dir) return from_errno(false);
  const Mapping page = Mapping::map(4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS);
  char name[64];
  std::snprintf(name, sizeof name, "%lx-%lx", reinterpret_cast<unsigned long>(page.data()),
                reinterpret_cast<unsigned long>(page.data()) + page.size());
  const Fd file(::openat(dir.get(), name, O_RDONLY | O_CLOEXEC));
  return from_errno(static_cast<bool>(file));
}

Result probe_futex_waitv() {
  // Without waiters a kernel that knows the call returns EINVAL.
  ::syscall(449 /* futex_waitv */, nullptr, 0, 0, nullptr, 0);
  return errno == ENOSYS ? no(errno) : yes();
}

Result probe_time_namespace() {
  struct stat st {};
  if (::stat("/proc/self/ns/time", &st) != 0) return no(errno);
  return in_child([] { return result_of(::unshare(0x80 /* CLONE_NEWTIME */)); });
}

Result probe_tcp_repair() {
  const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return from_errno(false);
  const int on = 1;
  return from_errno(::setsockopt(socket.get(), IPPROTO_TCP, TCP_REPAIR, &on, sizeof on) == 0);
}

Result probe_sock_diag() {
  const Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 4 /* NETLINK_SOCK_DIAG */));
  return from_errno(static_cast<bool>(socket));
}

Result probe_timer_ids() {
  return in_child([] { return result_of(::prctl(77 /* PR_TIMER_CREATE_RESTORE_IDS */, 1, 0, 0, 0)); });
}

Result probe_freezer() {
  for (const char* root : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/freezer"}) {
    const std::string file =
        std::string(root) + (std::strstr(root, "freezer") != nullptr ? "/tasks" : "/cgroup.controllers");
    if (::access(file.c_str(), F_OK) != 0) continue;
    if (::access(root, W_OK) == 0) return {Answer::yes, root};
    return {Answer::unknown, std::string(root) + " is not writable"};
  }
  return {Answer::no, "neither cgroup v2 nor the v1 freezer is mounted"};
}

struct Probe {
  Feature feature;
  std::function<Result()> run;
};

// The result of a probe that reads one part of the kernel's own structures. worked: the part could be read.
Result is_readable(bool worked, const KernelView& view) {
  return worked ? yes() : Result{Answer::no, view.reason()};
}

constexpr std::string_view kRestore = "CONFIG_CHECKPOINT_RESTORE";

// To stop a process, to make calls in it, and to build one.
std::vector<Probe> engine_probes() {
  using enum Need;
  constexpr std::string_view kRoot = "run as root, or with CAP_CHECKPOINT_RESTORE";
  return {
      {{"ptrace", "Linux 4.8", migration, "stopping the process and making calls in it", "nothing can move",
        "set kernel.yama.ptrace_scope below 3, and run as root"},
       probe_trace},
      {{"process-vm", "CONFIG_CROSS_MEMORY_ATTACH", migration, "copying memory", "nothing can move",
        "a kernel with CONFIG_CROSS_MEMORY_ATTACH"},
       probe_readv},
      {{"pidfd-getfd", "Linux 5.6", migration, "inspecting open files", "nothing can move", "a newer kernel"},
       probe_getfd},
      {{"clone3-set-tid", "Linux 5.5", migration, "restoring the PID of a process", "nothing can be restored here",
        kRoot},
       probe_set_tid},
      {{"map-files", kRestore, migration, "opening mapped files", "nothing can move", kRoot}, probe_map_files},
      {{"vdso-mapping", kRestore, migration, "restoring the vDSO of a process", "nothing can be restored here",
        "a kernel with CONFIG_CHECKPOINT_RESTORE"},
       probe_vdso},
      {{"futex-waitv", "Linux 5.16", migration, "making system calls in the process", "nothing can move",
        "a newer kernel"},
       probe_futex_waitv},
      {{"freezer", "Linux 5.2 (cgroup v2)", migration, "the commit of a migration",
        "crx-migrate cannot commit; images work", "mount cgroup v2, writable"},
       probe_freezer},
  };
}

// To track memory and to find out about threads.
std::vector<Probe> memory_probes() {
  using enum Need;
  return {
      {{"pagemap-scan", "Linux 6.7", comfort, "finding written pages", "tracking by content: longer stops",
        "a newer kernel"},
       [] {
         return Pagemap::features().scan ? yes() : Result{Answer::no, {}};
       }},
      {{"wp-async", "Linux 6.7", comfort, "tracking memory while the process runs", "tracking by content: longer stops",
        "a newer kernel with CONFIG_USERFAULTFD"},
       probe_write_protect},
      {{"soft-dirty", "CONFIG_MEM_SOFT_DIRTY", comfort, "tracking memory without wp-async",
        "nothing where wp-async works", "a kernel with CONFIG_MEM_SOFT_DIRTY"},
       [] {
         return Pagemap::features().soft_dirty ? yes() : Result{Answer::no, {}};
       }},
      {{"kcmp", "CONFIG_KCMP", migration, "detecting shared open files", "nothing can move",
        "a kernel with CONFIG_KCMP"},
       [] { return from_errno(::syscall(SYS_kcmp, ::getpid(), ::getpid(), KCMP_FILE, 0, 0) >= 0 || errno == EBADF); }},
      {{"rseq-configuration", "Linux 5.13", comfort, "programs of glibc 2.35 and newer",
        "threads that registered restartable sequences cannot move", "a newer kernel with CONFIG_RSEQ"},
       [] {
         ::syscall(SYS_rseq, nullptr, 0, 0, 0);
         return errno == ENOSYS ? no(errno) : yes();
       }},
      {{"mm-map", kRestore, migration, "setting a process's memory fields", "nothing can be restored here",
        "a kernel with CONFIG_CHECKPOINT_RESTORE"},
       [] {
         unsigned size = 0;
         return from_errno(::prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0) == 0);
       }},
  };
}

// For some kinds of resources only.
std::vector<Probe> resource_probes() {
  using enum Need;
  return {
      {{"time-namespace", "Linux 5.6", comfort, "clocks that continue after a move", "CLOCK_MONOTONIC jumps",
        "a kernel with CONFIG_TIME_NS, CAP_SYS_ADMIN"},
       probe_time_namespace},
      {{"guard-pages", "Linux 6.13", comfort, "MADV_GUARD_INSTALL", "programs that use it cannot be restored here",
        "a newer kernel"},
       probe_guards},
      {{"timer-ids", "Linux 6.15", comfort, "POSIX timers with ids over 4095", "such timers cannot be restored",
        "a newer kernel"},
       probe_timer_ids},
      {{"tcp-repair", kRestore, comfort, "established TCP connections", "they cannot move", "CAP_NET_ADMIN"},
       probe_tcp_repair},
      {{"sock-diag", "CONFIG_UNIX_DIAG, CONFIG_INET_DIAG", comfort, "sockets", "sockets cannot move",
        "load the modules unix_diag, tcp_diag, udp_diag"},
       probe_sock_diag},
  };
}

// Reading of the kernel's own structures.
std::vector<Probe> introspection_probes() {
  using enum Need;
  constexpr std::string_view kReadable = "Linux 6.1, CONFIG_BPF_SYSCALL, CONFIG_DEBUG_INFO_BTF";
  const auto view = std::make_shared<KernelView>();
  Feature aio{"aio-requests",
              kReadable,
              comfort,
              "programs with asynchronous I/O (io_setup)",
              "they cannot move",
              "such a kernel, CAP_BPF and CAP_PERFMON"};
  Feature sleeps{"sleep-timers",  kReadable,
                 comfort,         "calls with a time limit",
                 "some end late", "such a kernel, CAP_BPF and CAP_PERFMON"};
  Feature arrivals{"unix-arrivals",
                   kReadable,
                   comfort,
                   "data in unix connections that are not accepted yet",
                   "such a stop is tried again, then refused",
                   "such a kernel, CAP_BPF and CAP_PERFMON"};
  return {
      {aio, [view] { return is_readable(view->aio_requests() != nullptr, *view); }},
      {sleeps, [view] { return is_readable(view->sleeps() != nullptr, *view); }},
      {arrivals, [view] { return is_readable(view->unaccepted() != nullptr, *view); }},
  };
}

std::vector<Probe> capability_probes() {
  using enum Need;
  const auto probe = [](int capability) { return [capability] { return has_capability(capability); }; };
  return {
      {{"cap-sys-admin", "", migration, "namespaces, security policies", "most programs cannot move", "run as root"},
       probe(CAP_SYS_ADMIN)},
      {{"cap-sys-ptrace", "", migration, "stopping other users' processes", "only programs of the same user can move",
        "run as root"},
       probe(CAP_SYS_PTRACE)},
      {{"cap-sys-resource", "", comfort,
        "hard limits above those of crx, pipes above fs.pipe-max-size, a lower oom_score_adj",
        "these keep the values of crx; it is logged", "run outside of a container, or give it this capability"},
       probe(CAP_SYS_RESOURCE)},
      {{"cap-sys-time", "", comfort, "clocks that continue after a move", "CLOCK_MONOTONIC jumps",
        "run with CAP_SYS_TIME"},
       probe(CAP_SYS_TIME)},
      {{"cap-net-admin", "", comfort, "established TCP connections", "they cannot move", "run with CAP_NET_ADMIN"},
       probe(CAP_NET_ADMIN)},
  };
}

}  // namespace

std::vector<Feature> probe_features() {
  std::vector<Feature> all;
  for (const auto& list :
       {engine_probes(), memory_probes(), resource_probes(), introspection_probes(), capability_probes()}) {
    for (const Probe& probe : list) {
      Feature feature = probe.feature;
      try {
        Result result = probe.run();
        feature.answer = result.answer;
        feature.detail = std::move(result.detail);
      } catch (const std::exception& error) {
        feature.detail = error.what();
      }
      all.push_back(std::move(feature));
    }
  }
  return all;
}

}  // namespace crx
