// What kind of process it is at all: refuses, by name, those that crx cannot move.
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "agent-src/collect/registry.hpp"
#include "common/base/error.hpp"

namespace crx {
namespace {

std::vector<pid_t> numbers_in(const std::string& folder) {
  std::vector<pid_t> numbers;
  DIR* dir = ::opendir(folder.c_str());
  if (dir == nullptr) return numbers;
  while (const dirent* entry = ::readdir(dir)) {
    if (const int number = std::atoi(entry->d_name); number > 0) numbers.push_back(number);
  }
  ::closedir(dir);
  return numbers;
}

// Of processes that may end at any moment.
std::string try_read(const std::string& path) {
  const Fd file = try_open(path, O_RDONLY);
  if (!file) return {};
  try {
    return read_fd(file.get(), path);
  } catch (const Error&) {
    return {};
  }
}

std::string comm_of(pid_t pid) {
  std::string comm = try_read(fmt::format("/proc/{}/comm", pid));
  if (!comm.empty() && comm.back() == '\n') comm.pop_back();
  return comm;
}

std::string try_read_link(const std::string& path) {
  std::array<char, 256> target{};
  const ssize_t got = ::readlink(path.c_str(), target.data(), target.size());
  return got > 0 ? std::string(target.data(), static_cast<std::size_t>(got)) : std::string();
}

// What another process shares with it, "" for nothing (clone(2) without fork's copying).
std::string shared_with(pid_t pid, pid_t other) {
  struct Kind {
    int type;
    const char* text;
  };
  static constexpr Kind kKinds[] = {{KCMP_VM, "memory"}, {KCMP_FILES, "descriptors"}, {KCMP_FS, "working directory"},
                                    {KCMP_SIGHAND, "signal handlers"}};
  for (const Kind& kind : kKinds) {
    if (::syscall(SYS_kcmp, pid, other, kind.type, 0, 0) == 0) return kind.text;
  }
  return {};
}

class Inspection {
 public:
  explicit Inspection(InspectContext& context) : context_(context), object_(fmt::format("pid {}", context.pid)) {}

  void run() {
    const auto status = proc::parse_status(read_file(context_.proc + "status"));
    state(status);
    if (status.kernel_thread || status.state == 'Z' || status.state == 'X') return;
    program();
    children();
    others();
    namespaces();
  }

 private:
  void refuse(std::string reason, std::string remedy) {
    context_.refusals.push_back({object_, std::move(reason), std::move(remedy)});
  }

  void state(const proc::Status& status) {
    if (status.kernel_thread) refuse("is a kernel thread", "choose a process");
    if (status.tgid != status.pid) refuse(fmt::format("is a thread of process {}", status.tgid), "give that number");
    if (status.state == 'Z' || status.state == 'X') {
      refuse(status.threads > 1 ? "its first thread has ended" : "has ended", "it cannot be moved any more");
    }
    if (status.state == 'T') refuse("is stopped", "send it SIGCONT first");
    if (status.tracer_pid != 0) {
      refuse(fmt::format("is traced by process {} ({})", status.tracer_pid, comm_of(status.tracer_pid)),
             "end the debugger first");
    }
    if (!status.x86_thread_features.empty()) {
      refuse("uses " + status.x86_thread_features + " (control-flow enforcement)", "start it with GLIBC_TUNABLES "
             "glibc.cpu.x86_shstk=off");
    }
  }

  void program() {
    const Fd exe = try_open(context_.proc + "exe", O_RDONLY);
    Elf64_Ehdr header{};
    if (!exe || ::pread(exe.get(), &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header)) return;
    if (header.e_ident[EI_CLASS] == ELFCLASS32) refuse("is a 32-bit program", "crx moves 64-bit programs");
  }

  void children() {
    for (const pid_t tid : numbers_in(context_.proc + "task")) {
      const std::string list = try_read(fmt::format("{}task/{}/children", context_.proc, tid));
      for (const char* at = list.c_str(); *at != '\0';) {
        char* end = nullptr;
        const long child = std::strtol(at, &end, 10);
        if (end == at) break;
        at = *end == ' ' ? end + 1 : end;
        refuse(fmt::format("has a child process, {} ({})", child, comm_of(static_cast<pid_t>(child))),
               "crx moves single processes; end the child, or wait until it has ended");
      }
    }
  }

  void others() {
    for (const pid_t other : numbers_in("/proc")) {
      if (other == context_.pid) continue;
      const std::string shared = shared_with(context_.pid, other);
      if (!shared.empty()) {
        refuse(fmt::format("shares its {} with process {} ({})", shared, other, comm_of(other)),
               "only processes that share nothing with others can be moved");
      }
      const std::string status = try_read(fmt::format("/proc/{}/status", other));
      if (status.find(fmt::format("\nTracerPid:\t{}\n", context_.pid)) != std::string::npos) {
        refuse(fmt::format("traces process {} ({})", other, comm_of(other)), "let it detach first");
      }
    }
  }

  // The time namespace may differ: clocks are carried. So may those of future children.
  void namespaces() {
    for (const char* name : {"mnt", "net", "pid", "uts", "ipc", "user", "cgroup"}) {
      const std::string its = try_read_link(fmt::format("{}ns/{}", context_.proc, name));
      const std::string ours = try_read_link(fmt::format("/proc/self/ns/{}", name));
      if (its.empty() || its == ours) continue;
      refuse(fmt::format("is in another {} namespace than crx", name), "run crx-migrate inside it (nsenter)");
    }
  }

  InspectContext& context_;
  std::string object_;
};

class Shape final : public Collector {
 public:
  const char* name() const override { return "process"; }

  void inspect(InspectContext& context) override { Inspection(context).run(); }

  // What may have changed since: a process that forked would leave its child behind.
  void collect(CollectContext& context, const BatchPlan&) override {
    for (const FrozenThread& thread : context.task.threads()) {
      const std::string list = try_read(fmt::format("{}task/{}/children", context.task.proc(), thread.tid()));
      if (!list.empty()) {
        throw Error(ErrorCode::refused, "collecting the process", "it has a child process, " + list)
            .with_pid(context.task.pid())
            .with_hint("crx moves single processes; end the child, or wait until it has ended");
      }
      if (thread.traced.in_group_stop()) {
        throw Error(ErrorCode::refused, "collecting the process", "it is stopped")
            .with_pid(context.task.pid())
            .with_hint("send it SIGCONT first");
      }
    }
  }
};

}  // namespace

CollectorPtr make_shape_collector() { return std::make_unique<Shape>(); }

}  // namespace crx
