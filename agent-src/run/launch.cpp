#include "agent-src/run/launch.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"

namespace crx {
namespace {

constexpr char kStep[] = "starting the program";
constexpr int kNotExecuted = 127;

struct Pipe {
  Fd read, write;
};

Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno(kStep, "pipe2");
  return {Fd(ends[0]), Fd(ends[1])};
}

Fd open_for(const std::string& path, int flags) {
  Fd file = try_open(path, flags, 0666);
  if (!file) throw Error(ErrorCode::refused, kStep, path, errno).with_hint("name a file that can be written");
  return file;
}

// The file with the PID; removed by the destructor unless the program runs.
class PidFile {
 public:
  explicit PidFile(const std::string& path) : path_(path) {
    if (!path.empty()) file_ = open_for(path, O_WRONLY | O_CREAT | O_TRUNC);
  }
  PidFile(const PidFile&) = delete;
  PidFile& operator=(const PidFile&) = delete;
  ~PidFile() {
    if (file_) (void)::unlink(path_.c_str());
  }
  void write(pid_t pid) const {
    const std::string text = std::to_string(pid) + "\n";
    if (file_ && ::write(file_.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
      throw_errno(kStep, path_);
  }
  void keep() noexcept { file_.reset(); }

 private:
  const std::string& path_;
  Fd file_;
};

// SIGINT and SIGQUIT are ignored in what a script starts in the background, SIGHUP by nohup.
void reset_signals() {
  for (int number = 1; number < NSIG; ++number) (void)::signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  (void)::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// In the child. Returns the error number; it returns only where the program could not be executed.
int become(const LaunchPlan& plan, int input, int output) {
  if (::setsid() < 0) return errno;
  if (::dup2(input, 0) < 0 || ::dup2(output, 1) < 0 || ::dup2(output, 2) < 0) return errno;
  // They are closed by execve(2), so that a failure can be reported over one of them.
  if (::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) != 0) return errno;
  reset_signals();
  std::vector<char*> argv;
  for (const std::string& word : plan.command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execvp(argv[0], argv.data());
  return errno;
}

}  // namespace

ChildProcess launch(const LaunchPlan& plan) {
  const Fd input = open_for("/dev/null", O_RDONLY);
  const Fd output = open_for(plan.output.empty() ? "/dev/null" : plan.output, O_WRONLY | O_CREAT | O_APPEND);
  PidFile pidfile(plan.pidfile);
  Pipe start = make_pipe();    // a byte: the PID is written, and the program may start
  Pipe failure = make_pipe();  // an error number, or its end when the program runs
  ChildProcess child = ChildProcess::fork(kStep, [&] {
    start.write.reset();
    char byte = 0;
    if (::read(start.read.get(), &byte, 1) != 1) return kNotExecuted;  // crx-run has ended
    const int error = become(plan, input.get(), output.get());
    (void)!::write(failure.write.get(), &error, sizeof error);
    return kNotExecuted;
  });
  failure.write.reset();
  pidfile.write(child.pid());
  if (::write(start.write.get(), "", 1) != 1) throw_errno(kStep, "its pipe");
  int error = 0;
  if (::read(failure.read.get(), &error, sizeof error) == sizeof error) {
    (void)child.wait();
    throw Error(ErrorCode::refused, kStep, plan.command.front(), error)
        .with_hint("check the name of the program, and that it can be executed");
  }
  pidfile.keep();
  return child;
}

}  // namespace crx
