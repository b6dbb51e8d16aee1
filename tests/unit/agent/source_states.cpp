// Each message in each state of a source: it goes on, or ends the session with an error, and the program runs in one
// place. A real crx-migrate and the supervisor and front of an agent, whose engine says what the test wants.
#include <doctest/doctest.h>

#include <fstream>
#include <memory>

#include "agent-src/migrate/migration.hpp"
#include "common/base/error.hpp"
#include "tests/unit/agent/moved_tail.hpp"
#include "tests/unit/agent/protocol_states.hpp"
#include "tests/unit/agent/scripted_engine.hpp"

namespace crx::test {
namespace {

constexpr int64_t kMoveMs = 30'000;  // less than the time for which a source waits for an answer
constexpr char kBroke[] = "broke the protocol";
constexpr char kNever[] = "has decided not to resume it";

// Keeps what a user would read.
struct Told final : MigrationObserver {
  void failed(const FailedEvent& event) override { text = event.message; }
  void exited(int) override { text = "exited"; }
  void wait_ended(const std::string& why) override { text = why; }
  std::string text;
};

struct MoveResult {
  int exit = -1;  // -1: it crashed, or did not end
  std::string text;
};

// Runs `move` in a process of its own, as crx-migrate does.
MoveResult in_child(const std::function<MoveResult()>& move) {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const Fd reading(ends[0]);
  const pid_t pid = ::fork();
  if (pid == 0) {
    be_silent();
    const MoveResult result = move();
    (void)!::write(ends[1], result.text.data(), std::min<std::size_t>(result.text.size(), 4000));
    ::_exit(result.exit);
  }
  ::close(ends[1]);
  MoveResult result;
  int status = 0;
  if (reap(pid, status, kMoveMs)) {
    if (WIFEXITED(status)) result.exit = WEXITSTATUS(status);
  } else {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, &status, 0);
  }
  char text[4096];
  const ssize_t n = ::read(reading.get(), text, sizeof text);
  result.text.assign(text, static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  return result;
}

class Source {
 public:
  explicit Source(const TestAgent& agent) : dir_(agent.dir()) {
    options_.to = {"127.0.0.1", agent.port()};
    options_.tls_dir = dir_ + "/client";
    options_.state_dir = dir_ + "/state";
    options_.streams = 1;
    std::ofstream(watched()) << "a line\n";
  }

  // The program that is moved: a new one where the last one has gone.
  MovedTail& program() {
    if (!program_) program_ = std::make_unique<MovedTail>(watched());
    return *program_;
  }
  void forget_program() { program_.reset(); }

  MoveResult move(bool wait) {
    MigrateOptions options = options_;
    options.pid = program().pid();
    options.wait = wait;
    return in_child([&] {
      Told told;
      try {
        const int exit = run_migration(options, told);
        return MoveResult{exit, told.text};
      } catch (const Error& error) {
        return MoveResult{error.code() == ErrorCode::peer ? 1 : 2, error.what()};
      }
    });
  }
  // The groups of sessions that are left behind.
  std::vector<std::string> groups_left() const {
    std::vector<std::string> left;
    const std::vector<std::string> sessions = list_journals(options_.state_dir);
    for (const auto& entry : std::filesystem::recursive_directory_iterator("/sys/fs/cgroup")) {
      const std::string name = entry.path().filename();
      for (const std::string& session : sessions) {
        if (entry.is_directory() && name.starts_with("crx-" + session.substr(0, 16))) left.push_back(entry.path());
      }
    }
    return left;
  }
  // Whether every session so far has come to an end.
  bool all_final() const {
    for (const std::string& session : list_journals(options_.state_dir)) {
      if (!is_final(read_journal(options_.state_dir, session).back().state)) return false;
    }
    return true;
  }

 private:
  std::string watched() const { return dir_ + "/watched"; }

  std::string dir_;
  MigrateOptions options_;
  std::unique_ptr<MovedTail> program_;
};

// What the user reads where `kind` comes in `state`.
std::string expected_text(const ProtocolState& state, const std::string& kind) {
  const bool takes = state.takes.count(kind) != 0;
  if (state.name == "Committing") return kind == "Resumed" || kind == "Decided" ? "" : kNever;
  if (kind == "Failure") return state.name == "Watching" ? "waiting for the program's end failed" : "";
  if (state.name == "Watching") return takes ? "exited" : kBroke;
  return takes ? kNever : kBroke;
}

void check_cell(Source& source, Script& script, const ProtocolState& state, const std::string& kind) {
  CAPTURE(state.name);
  CAPTURE(kind);
  script.say(state.name, kind);
  const bool watching = state.name == "Watching";
  const bool moves = watching || (state.name == "Committing" && (kind == "Resumed" || kind == "Decided"));
  script.resume(watching);
  const std::string before = source.program().surroundings();
  const MoveResult result = source.move(watching);
  CAPTURE(result.text);
  CHECK(result.exit == (moves ? 0 : 1));
  CHECK(result.text.find(expected_text(state, kind)) != std::string::npos);
  if (moves) {
    CHECK(source.program().has_ended());
    source.forget_program();
  } else {
    CHECK(source.program().runs());
    CHECK(source.program().surroundings() == before);
  }
}

}  // namespace

TEST_CASE("source: each message in each of its states") {
  TempDir dir;
  Script script(dir.path() + "/recording");
  TestAgent agent({}, script.engine());
  Source source(agent);
  for (const ProtocolState& state : states_of("source")) {
    for (const std::string& kind : message_kinds()) check_cell(source, script, state, kind);
  }
  CHECK(source.all_final());
  CHECK(source.groups_left() == std::vector<std::string>());
}

TEST_CASE("source: an agent of another version of the protocol is refused") {
  TempDir dir;
  Script script(dir.path() + "/recording");
  TestAgent agent({}, script.engine());
  Source source(agent);
  script.speak(99);
  const MoveResult result = source.move(false);
  CHECK(result.text.find("speaks protocol 99, this crx-migrate") != std::string::npos);
  CHECK(source.program().runs());
}

}  // namespace crx::test
