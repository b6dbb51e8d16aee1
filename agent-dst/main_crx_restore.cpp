// crx-restore: revives a process tree from image files.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <string>

#include "agent-dst/restore_options.hpp"
#include "agent-dst/restore_run.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/log.hpp"

namespace crx {
namespace {

constexpr int kFailed = 1;
constexpr int kForwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGWINCH};

// Set by main and read by the signal handler, which has nothing else to reach.
volatile sig_atomic_t receiver = 0;

void pass_on(int signal) {
  const int saved = errno;
  if (receiver > 0) ::kill(static_cast<pid_t>(receiver), signal);
  errno = saved;
}

void forward_signals() {
  struct sigaction action{};
  action.sa_handler = pass_on;
  action.sa_flags = SA_RESTART;
  for (const int signal : kForwarded) ::sigaction(signal, &action, nullptr);
}

void default_signals() {
  for (const int signal : kForwarded) ::signal(signal, SIG_DFL);
}

int await(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, __WALL) < 0) {
    if (errno != EINTR) throw_errno("waiting", "process " + std::to_string(pid));
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void write_pidfile(const std::string& path, pid_t pid) {
  const std::string text = std::to_string(pid);
  const Fd file = open_checked(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) throw_errno("writing the PID", path);
}

// The process that builds. Its exit code; the root's PID goes to `report`.
int build(const RestoreOptions& options, int report) {
  try {
    run_restore(options, [&](pid_t root) {
      if (!options.pidfile.empty()) write_pidfile(options.pidfile, root);
      if (::write(report, &root, sizeof root) != sizeof root) throw_errno("reporting the PID", "pipe");
    });
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "crx-restore: %s\n", error.what());
    return kFailed;
  }
}

int run(const RestoreOptions& options) {
  log::setup(options.log_level, "restore");
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("starting", "pipe");
  Fd from(ends[0]);
  Fd to(ends[1]);
  const pid_t parent = ::getpid();
  forward_signals();
  const pid_t builder = ::fork();
  if (builder < 0) throw_errno("starting", "fork");
  if (builder == 0) {
    default_signals();
    from.reset();
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // nothing half-built stays behind
    if (::getppid() != parent) ::_exit(kFailed);
    const int result = build(options, to.get());
    std::fflush(nullptr);
    ::_exit(result);
  }
  receiver = builder;
  to.reset();
  pid_t root = 0;
  ssize_t got = 0;
  while ((got = ::read(from.get(), &root, sizeof root)) < 0 && errno == EINTR) {
  }
  const int built = await(builder);
  if (built != 0 || got != sizeof root) {
    receiver = 0;
    return built != 0 ? built : kFailed;
  }
  receiver = root;
  if (options.json) std::printf("{\"event\":\"restored\",\"pid\":%d}\n", static_cast<int>(root));
  std::fflush(nullptr);
  return options.detached ? 0 : await(root);
}

}  // namespace
}  // namespace crx

int main(int argc, char** argv) {
  try {
    const crx::ParsedRestoreOptions parsed = crx::parse_restore_options(argc, argv);
    if (parsed.options) return crx::run(*parsed.options);
    std::fputs(parsed.text.c_str(), parsed.exit_code == 0 ? stdout : stderr);
    return parsed.exit_code;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "crx-restore: %s\n", error.what());
    return 1;
  }
}
