#include "agent-dst/sandbox/empty_namespaces.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "common/base/error.hpp"
#include "common/kernel/process/child_process.hpp"

namespace crx {
namespace {

constexpr char kNamespaceStep[] = "making empty namespaces";
constexpr int kNew = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
constexpr const char* kKinds[] = {"net", "ipc", "uts", "mnt"};

// Replaces all that is mounted by an empty directory. pivot_root(2), "pivot_root(".", ".")".
void unmount_all() {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) throw_errno(kNamespaceStep, "/");
  if (::mount("none", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,mode=555") != 0)
    throw_errno(kNamespaceStep, "mounting a tmpfs");
  if (::chdir("/proc") != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0) throw_errno(kNamespaceStep, "pivot_root");
  if (::umount2(".", MNT_DETACH) != 0 || ::chdir("/") != 0) throw_errno(kNamespaceStep, "unmounting the host's files");
  if (::mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0)
    throw_errno(kNamespaceStep, "making the tmpfs read-only");
}

}  // namespace

EmptyNamespaces EmptyNamespaces::make() {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno(kNamespaceStep, "pipe");
  const Fd from(ends[0]);
  Fd to(ends[1]);
  const ChildProcess child = ChildProcess::fork(kNamespaceStep, [&] {
    if (::unshare(kNew) != 0) throw_errno(kNamespaceStep, "unshare");
    unmount_all();
    if (::write(to.get(), "x", 1) == 1) ::pause();  // until it is killed
    return 1;
  });
  to.reset();
  char byte = 0;
  if (::read(from.get(), &byte, 1) != 1)
    throw Error(ErrorCode::kernel, kNamespaceStep, "the process that makes them has failed");
  EmptyNamespaces made;
  for (const char* kind : kKinds)
    made.namespaces_.push_back(open_checked("/proc/" + std::to_string(child.pid()) + "/ns/" + kind, O_RDONLY));
  return made;
}

void EmptyNamespaces::enter() const {
  for (const Fd& each : namespaces_) {
    if (::setns(each.get(), 0) != 0) throw_errno("entering empty namespaces", "setns");
  }
}

}  // namespace crx
