#include "agent-dst/supervisor/tree_init.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "agent-dst/ipc/packet.hpp"
#include "agent-dst/ipc/supervisor_packets.hpp"
#include "agent-dst/sandbox/sandbox.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/kernel/process/child_process.hpp"

namespace crx::supervisor {
namespace {

constexpr const char* kTreeInitStep = "making a PID namespace";
constexpr int kForwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGWINCH};

void mount_proc() {
  if (::unshare(CLONE_NEWNS) != 0) throw_errno(kTreeInitStep, "unshare");
  // Later mounts of the host propagate into this namespace, but mounts made here do not propagate to the host.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) throw_errno(kTreeInitStep, "/");
  if (::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0)
    throw_errno(kTreeInitStep, "/proc");
}

// Makes the next process get almost the highest PID, which trees do not reach.
void take_high_numbers() {
  const long pid_max = std::strtol(read_file("/proc/sys/kernel/pid_max").c_str(), nullptr, 10);
  write_file("/proc/sys/kernel/ns_last_pid", std::to_string(pid_max - 2));
}

class Init {
 public:
  Init(int notices, pid_t engine, Fd roots) : notices_(notices), engine_(engine), roots_(std::move(roots)) {
    sigemptyset(&awaited_);
    sigaddset(&awaited_, SIGCHLD);
    for (const int signal : kForwarded) sigaddset(&awaited_, signal);
  }

  // Signals stay blocked: the kernel drops unblocked signals to the first process of a PID namespace.
  static void block(sigset_t* before) {
    sigset_t all;
    sigfillset(&all);
    ::sigprocmask(SIG_BLOCK, &all, before);
  }

  int run() {
    while (reap()) {
      const int signal = ::sigwaitinfo(&awaited_, nullptr);
      learn_root();
      if (signal > 0 && signal != SIGCHLD && root_ > 0 && !root_ended_) ::kill(root_, signal);
    }
    return result_;
  }

 private:
  // False when no child is left.
  bool reap() {
    for (;;) {
      int status = 0;
      const pid_t pid = try_reap_any(status);
      if (pid <= 0) return pid == 0;
      learn_root();
      if (pid == engine_) {
        engine_ = 0;
        if (root_ == 0) result_ = ChildStatus(status).shell_code();
        tell(ipc::EngineNotice::Kind::engine_ended, status);
      } else if (pid == root_) {
        root_exited(status);
      } else if (root_ == 0) {
        early_[pid] = status;
      }
    }
  }

  void learn_root() {
    pid_t root = 0;
    if (root_ != 0 || ::read(roots_.get(), &root, sizeof root) != sizeof root) return;
    root_ = root;
    if (const auto seen = early_.find(root); seen != early_.end()) root_exited(seen->second);
    early_.clear();
  }

  void root_exited(int status) {
    root_ended_ = true;
    result_ = ChildStatus(status).shell_code();
    tell(ipc::EngineNotice::Kind::root_ended, status);
  }

  // The supervisor may have ended; the tree keeps running.
  void tell(ipc::EngineNotice::Kind kind, int status) const {
    ipc::EngineNotice notice;
    notice.kind = kind;
    notice.status = status;
    (void)ipc::send_packet(notices_, std::as_bytes(std::span(&notice, 1)));
  }

  int notices_;
  pid_t engine_;
  Fd roots_;
  sigset_t awaited_{};
  pid_t root_ = 0;
  bool root_ended_ = false;
  int result_ = 1;
  std::map<pid_t, int> early_;  // children that ended before the root was announced
};

}  // namespace

pid_t fork_init(const std::function<int()>& body) {
  const Fd own = open_checked("/proc/self/ns/pid", O_RDONLY);
  if (::unshare(CLONE_NEWPID) != 0) throw_errno(kTreeInitStep, "unshare");
  std::optional<ChildProcess> first = ChildProcess::try_fork(body);
  const int why = errno;
  if (::setns(own.get(), CLONE_NEWPID) != 0) throw_errno(kTreeInitStep, "setns");
  if (!first) throw Error(ErrorCode::kernel, kTreeInitStep, "fork", why);
  return first->release();
}

int run_tree_init(int notices, const InitEngine& engine) {
  mount_proc();
  take_high_numbers();
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) throw_errno(kTreeInitStep, "pipe");
  Fd from(ends[0]);
  Fd to(ends[1]);
  sigset_t before;
  Init::block(&before);
  ChildProcess child = ChildProcess::fork(kTreeInitStep, [&] {
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    from.reset();
    return engine(to.get());
  });
  close_all_but({notices, from.get()});
  (void)to.release();
  return Init(notices, child.release(), std::move(from)).run();
}

}  // namespace crx::supervisor
