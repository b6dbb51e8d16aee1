#include "tests/unit/policy/hostile.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <deque>
#include <filesystem>

#include "agent-dst/migrate/destination_session.hpp"
#include "agent-src/collect/memory/memory_map.hpp"
#include "agent-src/freeze/frozen_tree.hpp"
#include "agent-src/snapshot/state_collection.hpp"
#include "common/base/journal.hpp"
#include "common/image/magic.hpp"
#include "common/kernel/introspect/kernel_view.hpp"
#include "common/kernel/process/child_process.hpp"
#include "wire/failure.hpp"
#include "wire/host_info.hpp"
#include "wire/tree_message.hpp"

namespace crx::test {
namespace {

namespace fs = std::filesystem;
constexpr int kReadyFd = 900;

void* wait_in_thread(void*) {
  for (;;) ::pause();
}

constexpr char kCopied[] = "the process that is copied";
constexpr char kThreads[] = "CRX_COPIED_THREADS";

[[noreturn]] void live(unsigned long threads) {
  ::close_range(3, kReadyFd - 1, 0);
  ::close_range(kReadyFd + 1, ~0U, 0);
  if (::chdir("/") != 0) ::_exit(127);
  const int null = ::open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
  ::close(null);
  for (unsigned long i = 1; i < threads; ++i) {
    pthread_t thread;
    ::pthread_create(&thread, nullptr, wait_in_thread, nullptr);
  }
  ::close(kReadyFd);
  for (;;) ::pause();
}

// A copy of this executable, since the kernel does not let a vessel, a fork of ours, change its executable while it has
// the old one mapped.
class OtherExecutable {
 public:
  OtherExecutable() {
    std::string name = fs::temp_directory_path() / "crx-policy-exe-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    fs::copy_file("/proc/self/exe", path());
    REQUIRE(::chmod(folder_.c_str(), 0755) == 0);
    REQUIRE(::chmod(path().c_str(), 0755) == 0);
  }
  OtherExecutable(const OtherExecutable&) = delete;
  OtherExecutable& operator=(const OtherExecutable&) = delete;
  ~OtherExecutable() { fs::remove_all(folder_); }
  std::string path() const { return folder_ + "/copied"; }

 private:
  std::string folder_;
};

[[noreturn]] void become_copied(const std::string& executable, unsigned threads) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::setsid();
  ::setenv(kThreads, std::to_string(threads).c_str(), 1);
  const std::string choice = std::string("--test-case=") + kCopied;
  ::dup2(::open("/dev/null", O_WRONLY), STDOUT_FILENO);
  ::execl(executable.c_str(), "copied", "--no-skip", choice.c_str(), nullptr);
  ::_exit(127);
}

pid_t start(unsigned threads) {
  static const OtherExecutable other;
  int ready[2];
  REQUIRE(::pipe2(ready, O_CLOEXEC) == 0);
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    ::dup2(ready[1], kReadyFd);
    become_copied(other.path(), threads);
  }
  ::close(ready[1]);
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 0);
  ::close(ready[0]);
  return pid;
}

// Gives the engine what the source has sent, then the end of the connection.
class Sent final : public wire::DestinationLink {
 public:
  void send(const wire::SessionMessage& message) override {
    if (message.has_prepared() || message.has_failure()) answer = message;
  }
  std::optional<wire::LinkEvent> receive(Deadline) override {
    if (events.empty()) return wire::LinkClosed{"the source has gone"};
    wire::LinkEvent next = std::move(events.front());
    events.pop_front();
    return next;
  }
  void release(uint32_t) override {}

  std::deque<wire::LinkEvent> events;
  wire::SessionMessage answer;
};

template <typename Fill>
wire::SessionMessage message_with(Fill fill) {
  wire::SessionMessage message;
  fill(message);
  return message;
}

wire::Layout layout_of(const CopiedProcess& process) {
  wire::Layout layout;
  TaskNode task;
  task.pid = task.sid = task.pgid = process.pid;
  task.groups = {1, 2, 3, 4};
  *layout.add_tasks() = wire::to_message(task, true);
  *layout.add_forks() = wire::to_message(ForkStep{.action = ForkAction::make_root, .vessel = process.pid});
  *layout.add_spaces() = process.space;
  return layout;
}

// Says that it is a process of uid 1000 without capabilities or memory.
wire::Preflight lie_about(const CopiedProcess& process) {
  wire::Preflight preflight;
  wire::TaskSummary& task = *preflight.add_tasks();
  task.set_pid(static_cast<uint32_t>(process.pid));
  wire::TaskCredentials& credentials = *task.add_credentials();
  for (int i = 0; i < 4; ++i) {
    credentials.add_uids(1000);
    credentials.add_gids(1000);
  }
  return preflight;
}

std::string serve(const CopiedProcess& process, const Policy& policy, const std::optional<wire::PagesArrived>& pages) {
  std::string store = fs::temp_directory_path() / "crx-policy-XXXXXX";
  REQUIRE(::mkdtemp(store.data()) != nullptr);
  EngineOptions options;
  options.store = store;
  options.session = make_session_id();
  options.peer = "a hostile source";
  options.policy = policy;
  Sent link;
  link.events.emplace_back(
      message_with([](auto& message) { *message.mutable_hello()->mutable_host() = wire::local_host_info(); }));
  link.events.emplace_back(message_with([&](auto& message) { *message.mutable_preflight() = lie_about(process); }));
  link.events.emplace_back(message_with([&](auto& message) { *message.mutable_layout() = layout_of(process); }));
  if (pages) link.events.emplace_back(*pages);
  link.events.emplace_back(message_with([&](auto& message) {
    for (const auto& [name, content] : process.images.files()) {
      wire::ImageFile& file = *message.mutable_images()->add_files();
      file.set_name(name);
      file.set_content(content);
    }
  }));
  link.events.emplace_back(message_with([](auto& message) { message.mutable_prepare(); }));
  link.events.emplace_back(message_with([](auto& message) { message.mutable_abort()->set_reason("enough"); }));
  DestinationSession(link, options).run();
  fs::remove_all(store);
  if (link.answer.has_prepared()) return "prepared";
  if (!link.answer.has_failure()) return "no answer";
  const Error error = wire::to_error(link.answer.failure(), "there");
  return (error.code() == ErrorCode::peer ? "peer: " : "") + error.reason() +
         (error.hint().empty() ? "" : "; " + error.hint());
}

}  // namespace

// The test starts this case in a process of its own, with the number of threads in the environment.
TEST_CASE("the process that is copied") {
  const char* threads = ::getenv(kThreads);
  if (threads == nullptr) return;
  live(std::strtoul(threads, nullptr, 10));
}

void CopiedProcess::change_core(const std::function<void(img::core_entry&)>& change) {
  const std::string name = image_file::core(static_cast<uint32_t>(pid));
  auto core = images.read_one<img::core_entry>(name);
  change(core);
  images.erase(name);
  images.append(name, core);
}

void CopiedProcess::change_layout(const std::function<void(img::mm_entry&)>& change) {
  img::mm_entry mm;
  REQUIRE(mm.ParseFromString(space.mm()));
  change(mm);
  space.set_mm(mm.SerializeAsString());
}

void CopiedProcess::change_mappings(const std::function<void(img::mm_entry&)>& change) {
  const std::string name = image_file::mm(static_cast<uint32_t>(pid));
  auto mm = images.read_one<img::mm_entry>(name);
  change(mm);
  images.erase(name);
  images.append(name, mm);
}

CopiedProcess copy_process(unsigned threads) {
  CopiedProcess copy;
  copy.pid = start(threads);
  KernelView kernel;
  FileTable files;
  MemoryMap map(copy.pid, files);
  {
    FrozenTree tree = FrozenTree::freeze(copy.pid, Deadline::in_ms(10'000), kernel);
    CallSites sites;
    const StateCollection what{tree, files, sites, [&](pid_t) -> MemoryMap& { return map; },
                               [](pid_t) { return true; }};
    copy.images = collect_state(what, {}, nullptr);
    copy.space.set_space(static_cast<uint64_t>(copy.pid));
    copy.space.set_mm(map.description().SerializeAsString());
    for (const uint32_t id : map.file_ids()) copy.space.add_files(files.find(id)->SerializeAsString());
    for (const uint64_t at : map.commit_charged()) copy.space.add_commit_charged(at);
    tree.thaw();
  }
  ::kill(copy.pid, SIGKILL);
  ::waitpid(copy.pid, nullptr, 0);
  return copy;
}

// The engine runs in a process of its own, which makes a time namespace.
std::string outcome_of(const CopiedProcess& process, const Policy& policy,
                       const std::optional<wire::PagesArrived>& pages) {
  int answer[2];
  REQUIRE(::pipe2(answer, O_CLOEXEC) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::string text;
    try {
      text = serve(process, policy, pages);
    } catch (const std::exception& error) {
      text = std::string("failed: ") + error.what();
    }
    static_cast<void>(!::write(answer[1], text.data(), text.size()));
    ::_exit(0);
  }
  ::close(answer[1]);
  std::string text(4096, '\0');
  const ssize_t n = ::read(answer[0], text.data(), text.size());
  ::close(answer[0]);
  ::waitpid(child, nullptr, 0);
  // The vessels are children of this process (CLONE_PARENT).
  while (::waitpid(process.pid, nullptr, 0) > 0) {
  }
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return text;
}

}  // namespace crx::test
