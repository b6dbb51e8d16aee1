#include "tests/unit/agent/process.hpp"

#include <fcntl.h>
#include <sys/syscall.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "common/base/error.hpp"
#include "wire/failure.hpp"

namespace crx::test {
namespace {

using wire::SessionMessage;

pid_t fork_root() {
  const pid_t pid = static_cast<pid_t>(::syscall(SYS_clone, 0x8000 | SIGCHLD /* CLONE_PARENT */, 0, 0, 0, 0));
  if (pid == 0) ::_exit(7);
  return pid;
}

class TestEngine {
 public:
  TestEngine(wire::DestinationLink& link, const EngineOptions& options) : link_(link), options_(options) {}

  int run() {
    for (;;) {
      auto event = link_.receive(Deadline::never());
      if (!event) continue;
      if (std::holds_alternative<wire::LinkClosed>(*event)) return 3;
      if (auto* message = std::get_if<SessionMessage>(&*event)) {
        if (on_message(*message)) return code_;
      } else if (auto* pages = std::get_if<wire::PagesArrived>(&*event)) {
        on_pages(*pages);
      } else if (auto* ended = std::get_if<wire::RoundEnded>(&*event)) {
        SessionMessage done;
        done.mutable_round_done()->set_round(ended->round);
        done.mutable_round_done()->set_pages_applied(pages_);
        done.mutable_round_done()->set_apply_us(sum_);
        link_.send(done);
      }
    }
  }

 private:
  bool on_message(const SessionMessage& message) {
    SessionMessage reply;
    if (message.has_hello()) {
      reply.mutable_welcome()->set_protocol(1);
      link_.send(reply);
    } else if (message.has_preflight()) {
      return on_preflight(message.preflight());
    } else if (message.has_images()) {
      link_.send(message);
    } else if (message.has_prepare()) {
      journal().append(JournalState::prepared);
      reply.mutable_prepared();
      link_.send(reply);
    } else if (message.has_go()) {
      if (killed_by_go_) ::raise(SIGKILL);
      journal().append(JournalState::resuming);
      const pid_t root = fork_root();
      options_.root_resumed(root);
      journal().append(JournalState::resumed);
      reply.mutable_resumed()->set_pid(static_cast<uint32_t>(root));
      link_.send(reply);
      return true;
    } else if (message.has_abort()) {
      code_ = 5;
      return true;
    }
    return false;
  }

  bool on_preflight(const wire::Preflight& preflight) {
    const std::string what = preflight.tasks_size() > 0 ? preflight.tasks(0).comm() : "";
    if (what == "crash") {
      ::signal(SIGABRT, SIG_DFL);  // doctest's handler would print a report
      std::abort();
    }
    if (what == "hang") ::pause();
    if (what == "work until the end") return work_until_the_end();
    killed_by_go_ = what == "killed by go";
    if (what == "fail") {
      link_.send(wire::failure_message(
          Error(ErrorCode::refused, "mapping a file", "/lib/x.so has another build id").with_hint("install the same")));
      code_ = 1;
      return true;
    }
    SessionMessage reply;
    reply.mutable_preflight_result();
    if (what == "policy")
      reply.mutable_preflight_result()->add_findings()->set_object(std::to_string(options_.policy.max_memory));
    link_.send(reply);
    return false;
  }

  // Work for the source alone, which sends something else meanwhile.
  bool work_until_the_end() {
    SessionMessage begun;
    begun.mutable_preflight_result();
    link_.send(begun);
    const Deadline deadline = Deadline::in_ms(20'000);
    while (!link_.has_ended() && !deadline.passed()) ::usleep(1000);
    const auto next = link_.receive(Deadline::in_ms(0));
    const auto* message = next ? std::get_if<SessionMessage>(&*next) : nullptr;
    const bool kept = message != nullptr && message->has_freeze() && link_.receive(Deadline::in_ms(0)).has_value();
    std::ofstream(options_.store + "/ended") << (deadline.passed() ? "late"
                                                 : kept            ? "in time"
                                                                   : "a message is lost")
                                             << std::endl;
    code_ = 1;
    return true;
  }

  void on_pages(const wire::PagesArrived& pages) {
    const std::byte* at = pages.bytes.data();
    for (const PageRange& range : pages.ranges) {
      for (uint64_t addr = range.start; addr < range.end; addr += kPageSize, at += kPageSize)
        sum_ += page_sum(addr, at);
    }
    pages_ += total_pages(pages.ranges) + total_pages(pages.zero_ranges);
    for (const PageRange& range : pages.zero_ranges) sum_ += range.start / kPageSize * range.pages();
    link_.release(pages.slot);
  }

  Journal& journal() {
    if (!journal_) {
      journal_.emplace(Journal::open(options_.store, options_.session));
      journal_->append(JournalState::open, "from a test");
    }
    return *journal_;
  }

  wire::DestinationLink& link_;
  const EngineOptions& options_;
  std::optional<Journal> journal_;
  uint64_t pages_ = 0, sum_ = 0;
  int code_ = 0;
  bool killed_by_go_ = false;
};

}  // namespace

uint64_t page_sum(uint64_t addr, const std::byte* page) {
  uint64_t first = 0, last = 0;
  std::memcpy(&first, page, sizeof first);
  std::memcpy(&last, page + kPageSize - sizeof last, sizeof last);
  return addr * 31 + first * 7 + last;
}

int test_engine(std::unique_ptr<wire::DestinationLink> link, const EngineOptions& options) {
  return TestEngine(*link, options).run();
}

TestAgent::TestAgent(AgentOptions options, const EngineMain& engine) {
  if (options.listen.host.empty()) options.listen.host = "127.0.0.1";
  if (options.tls_dir.empty()) {
    options.tls_dir = dir_.path() + "/agent";
    ca_.issue(options.tls_dir, "agent", "DNS:localhost,IP:127.0.0.1");
  }
  ca_.issue(dir_.path() + "/client", "client", "DNS:client.example");
  if (options.store == AgentOptions().store) options.store = dir_.path() + "/store";
  options.log_level = std::getenv("CRX_TEST_LOG") != nullptr ? log::Level::debug : log::Level::error;
  store_ = options.store;
  int ready[2];
  if (::pipe2(ready, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  options.ready_fd = ready[1];
  pid_ = ::fork();
  if (pid_ == 0) {
    int code = 1;
    try {
      log::setup(options.log_level, "agent");
      code = run_agent(options, engine);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
    }
    ::_exit(code);
  }
  ::close(ready[1]);
  char text[64] = {};
  const ssize_t n = ::read(ready[0], text, sizeof text - 1);
  ::close(ready[0]);
  if (n <= 0 || std::sscanf(text, "ready %hu\n", &port_) != 1) {
    wait();
    throw std::runtime_error("the agent did not start");
  }
}

TestAgent::~TestAgent() {
  stop();
}

void TestAgent::stop() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGTERM);
  wait();
}

int TestAgent::wait() {
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

wire::ConnectOptions TestAgent::to(const std::string& tls_dir) const {
  wire::ConnectOptions options;
  options.to = {"127.0.0.1", port_};
  options.tls_dir = tls_dir.empty() ? dir_.path() + "/client" : tls_dir;
  options.session = make_session_id();
  return options;
}

}  // namespace crx::test
