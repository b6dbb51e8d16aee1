// crx-restore: restores a process tree from image files.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "agent-dst/restore_set/foreground_job.hpp"
#include "agent-dst/restore_set/restore_options.hpp"
#include "agent-dst/restore_set/restore_run.hpp"
#include "agent-dst/restore_set/set_origin.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/child_process.hpp"
#include "common/proc/proc_dir.hpp"
#include "common/systemd/journal_log.hpp"
#include "common/tool/error_json.hpp"
#include "common/tool/sanitize_startup_state.hpp"

namespace crx {
namespace {

constexpr int kFailed = 1;
constexpr int kRefused = 3;
constexpr int kAgain = 121;  // exit code of a builder whose own pid is needed for the tree
constexpr int kBuilders = 4;
constexpr int kForwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGWINCH};

// Set by main and read by the signal handler, which can only reach globals.
volatile sig_atomic_t receiver = 0;
volatile sig_atomic_t passed = 0;  // the last signal that arrived

void pass_on(int signal) {
  const int saved = errno;
  passed = signal;
  if (receiver > 0) ::kill(static_cast<pid_t>(receiver), signal);
  errno = saved;
}

void forward_signals() {
  struct sigaction action {};
  action.sa_handler = pass_on;
  action.sa_flags = SA_RESTART;
  for (const int signal : kForwarded) ::sigaction(signal, &action, nullptr);
}

void default_signals() {
  for (const int signal : kForwarded) ::signal(signal, SIG_DFL);
}

// Signals go to the root from now on. A signal that came while the builder worked went to the builder, which may have
// ended just then, so it is sent again.
void hand_over_signals(pid_t root) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, &before);
  receiver = root;
  if (passed != 0) ::kill(root, passed);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
}

void write_pidfile(const std::string& path, pid_t pid) {
  const std::string text = std::to_string(pid);
  const Fd file = try_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    throw Error(ErrorCode::kernel, "writing the PID", path, errno).with_hint("choose another --pidfile");
  }
}

int exited(const RestoreOptions& options, int status) {
  if (options.json) std::printf("{\"event\":\"exited\",\"exit_status\":%d}\n", status);
  return status;
}

// Reports an error of a forked child, which nobody else would.
void print_error(const RestoreOptions& options, const std::exception& error) {
  if (options.json) std::printf("%s\n", error_json(error).c_str());
  std::fprintf(stderr, "crx-restore: %s\n", error.what());
}

// The process that builds the tree; returns its exit code. The root's pid is written to `report` or, with kAgain, a
// more suitable pid for the next builder.
int build(const RestoreOptions& options, int report) {
  try {
    run_restore(options, [&](pid_t root) {
      if (!options.pidfile.empty()) write_pidfile(options.pidfile, root);
      if (options.shell_job) give_terminal(root);
      if (::write(report, &root, sizeof root) != sizeof root) throw_errno("reporting the PID", "pipe");
    });
    return 0;
  } catch (const NumberIsWanted& wish) {
    return ::write(report, &wish.better, sizeof wish.better) == sizeof wish.better ? kAgain : kFailed;
  } catch (const std::exception& error) {  // for example std::bad_alloc
    print_error(options, error);
    return kFailed;
  }
}

// -n: forks the first process of a new PID namespace, which mounts its own /proc and ends with the tree's root. Returns
// in the caller with the exit code, and never in the first process.
int run_in_namespace(const RestoreOptions& options, const std::function<int(const RestoreOptions&, int)>& body) {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("starting", "pipe");
  Fd from(ends[0]);
  Fd to(ends[1]);
  forward_signals();
  if (::unshare(CLONE_NEWPID) != 0) throw_errno("making a PID namespace", "unshare");
  const auto life = [&] {
    from.reset();
    int result = kFailed;
    if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) {
      std::perror("crx-restore: mounting /proc");
    } else {
      RestoreOptions inside = options;
      inside.detached = false;
      inside.pidfile.clear();
      try {
        result = body(inside, to.get());
      } catch (const std::exception& error) {  // the end of a forked child
        print_error(options, error);
      }
    }
    std::fflush(nullptr);
    return result;
  };
  const pid_t first = ChildProcess::fork("starting", life).release();  // it stays where we fail: the tree is in it
  receiver = first;
  to.reset();
  pid_t root = 0;
  ssize_t got = 0;
  while ((got = ::read(from.get(), &root, sizeof root)) < 0 && errno == EINTR) {
  }
  if (got != sizeof root) return wait_child(first).shell_code();
  // The root's pid as seen in this PID namespace.
  const std::vector<pid_t> children = ProcDir::open_checked(first).children().value_or(std::vector<pid_t>());
  if (!options.pidfile.empty()) write_pidfile(options.pidfile, children.empty() ? 0 : children.front());
  return options.detached ? 0 : exited(options, wait_child(first).shell_code());
}

struct Built {
  int code = 0;
  pid_t root = 0;  // with kAgain: the pid that the next builder should have
};

Built start_builder(const RestoreOptions& options) {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("starting", "pipe");
  Fd from(ends[0]);
  Fd to(ends[1]);
  const auto life = [&] {
    default_signals();
    from.reset();
    const int result = build(options, to.get());
    std::fflush(nullptr);
    return result;
  };
  // It is killed when we end: nothing that is half built remains.
  ChildProcess builder = ChildProcess::fork("starting", life, {.parent_death_signal = SIGKILL});
  receiver = builder.pid();
  to.reset();
  pid_t root = 0;
  ssize_t got = 0;
  while ((got = ::read(from.get(), &root, sizeof root)) < 0 && errno == EINTR) {
  }
  const int code = builder.wait().shell_code();
  return {code == 0 && got != sizeof root ? kFailed : code, got == sizeof root ? root : 0};
}

// Makes the next process get this pid, unless another process is forked in between (CAP_CHECKPOINT_RESTORE, proc(5)).
void choose_next_pid(pid_t pid) {
  const Fd file = try_open("/proc/sys/kernel/ns_last_pid", O_WRONLY);
  const std::string text = std::to_string(pid - 1);
  if (file && ::write(file.get(), text.data(), text.size()) < 0)
    log::debug("cannot choose the pid of the next process");
}

// notify: a descriptor to which the root's pid is written once it runs; -1 for none.
int run(const RestoreOptions& options, int notify) {
  forward_signals();
  Built found = start_builder(options);
  for (int more = 1; found.code == kAgain && more < kBuilders; ++more) {
    receiver = 0;
    choose_next_pid(found.root);
    found = start_builder(options);
  }
  if (found.code == kAgain) {
    throw Error(ErrorCode::refused, "restoring", "crx-restore gets only PIDs that the tree needs")
        .with_hint("start it again, or use --new-pids");
  }
  const auto [built, root] = found;
  if (built != 0) {
    receiver = 0;
    // Everything that the builder had built ends with it: wait for that.
    wait_all_children();
    return built;
  }
  hand_over_signals(root);
  if (notify >= 0 && ::write(notify, &root, sizeof root) != sizeof root) throw_errno("reporting the PID", "pipe");
  if (options.json) std::printf("{\"event\":\"restored\",\"pid\":%d}\n", static_cast<int>(root));
  std::fflush(nullptr);
  if (options.detached) return 0;
  const int status = options.shell_job ? await_job(root) : wait_child(root).shell_code();
  return notify >= 0 ? status : exited(options, status);
}

int start(const RestoreOptions& options) {
  log::setup(options.log_level, "restore");
  log::log_to_journal();
  if (!options.require_signature) warn_of_others(options.images_dir);
  try {
    if (options.check_only || is_check_only(options.images_dir)) return run_restore_check(options) ? 0 : kRefused;
    return options.new_pids ? run_in_namespace(options, run) : run(options, -1);
  } catch (const std::exception& error) {
    if (options.json) std::printf("%s\n", error_json(error).c_str());
    throw;
  }
}

}  // namespace
}  // namespace crx

int main(int argc, char** argv) {
  crx::sanitize_startup_state();
  try {
    const crx::ParsedRestoreOptions parsed = crx::parse_restore_options(argc, argv);
    if (parsed.options) return crx::start(*parsed.options);
    std::fputs(parsed.text.c_str(), parsed.exit_code == 0 ? stdout : stderr);
    return parsed.exit_code;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "crx-restore: %s\n", error.what());
    return 1;
  }
}
