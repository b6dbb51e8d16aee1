// Each message in each state of an engine, with the memory and images of a real program: the engine takes it, or ends
// the session with a protocol error. Nothing crashes, hangs or stays behind.
#include <doctest/doctest.h>
#include <sys/mman.h>

#include <deque>
#include <fstream>
#include <map>

#include "agent-dst/engine/engine.hpp"
#include "agent-src/migrate/migration.hpp"
#include "common/base/error.hpp"
#include "common/image/image_store.hpp"
#include "common/image/integrity.hpp"
#include "common/image/magic.hpp"
#include "common/image/schema/inventory.pb.h"
#include "tests/unit/agent/moved_tail.hpp"
#include "tests/unit/agent/protocol_states.hpp"
#include "tests/unit/agent/scripted_engine.hpp"
#include "wire/failure.hpp"

namespace crx::test {
namespace {

constexpr int64_t kEngineMs = 30'000;
constexpr int64_t kPatienceUs = 4'000'000;  // less than the time for which an engine in Resuming waits for Decided

// Gives the engine what a source has sent, then the end of the connection.
class Replay final : public wire::DestinationLink {
 public:
  explicit Replay(const std::vector<RecordedEvent>& events) : events_(events) {}
  void send(const wire::SessionMessage& message) override { last = message; }
  std::optional<wire::LinkEvent> receive(Deadline) override {
    if (at_ == events_.size()) return wire::LinkClosed{"the script is over"};
    wire::LinkEvent event = events_[at_].event;
    if (auto* pages = std::get_if<wire::PagesArrived>(&event))
      pages->bytes = std::as_bytes(std::span(events_[at_].content.data(), events_[at_].content.size()));
    ++at_;
    return event;
  }
  void release(uint32_t) override {}
  std::size_t left() const { return events_.size() - at_; }

  wire::SessionMessage last;

 private:
  const std::vector<RecordedEvent>& events_;
  std::size_t at_ = 0;
};

// How an engine ended; in memory that it shares with the test.
struct EngineEnd {
  bool written = false;
  std::size_t left = 0;  // events that it has not received
  std::array<char, 32> answer{};
  std::array<char, 400> failure{};
  ErrorCode code = ErrorCode::bug;
  int exit = -1;  // -1: it crashed, or did not end
  int64_t us = 0;
};

void report(const Replay& link, EngineEnd& end) {
  const wire::SessionMessage& last = link.last;
  if (last.body_case() != wire::SessionMessage::BODY_NOT_SET) {
    std::vector<const google::protobuf::FieldDescriptor*> set;
    last.GetReflection()->ListFields(last, &set);
    set.front()->message_type()->name().copy(end.answer.data(), end.answer.size() - 1);
  }
  std::string text = last.has_never() ? last.never().reason() : "";
  if (last.has_failure()) {
    const Error error = wire::to_error(last.failure(), "there");
    end.code = error.code();
    text = error.reason();
  }
  text.copy(end.failure.data(), end.failure.size() - 1);
  end.left = link.left();
}

RecordedEvent message_event(const std::string& kind) {
  return {empty_message(kind), {}};
}

const wire::SessionMessage* message_of(const RecordedEvent& event) {
  return std::get_if<wire::SessionMessage>(&event.event);
}

// What a real source has sent for a program that has ended since, in parts that lead to the states of an engine.
class Recording {
 public:
  Recording() {
    TempDir dir;
    const std::string file = watched_.path() + "/file";
    std::ofstream(file) << "a line\n";
    MovedTail program(file);
    pid = program.pid();
    Script script(dir.path() + "/recording");
    script.say("Committing", "Never");
    TestAgent agent({}, script.engine());
    MigrateOptions options;
    options.pid = pid;
    options.to = {"127.0.0.1", agent.port()};
    options.tls_dir = agent.dir() + "/client";
    options.state_dir = dir.path() + "/state";
    options.streams = 1;
    options.verify = true;
    const pid_t child = ::fork();
    if (child == 0) {
      MigrationObserver nobody;
      ::_exit(run_migration(options, nobody));
    }
    int status = 0;
    REQUIRE(reap(child, status, kEngineMs));
    events = script.recorded();
  }

  // The events before the first one of that kind.
  std::vector<RecordedEvent> before(const std::string& kind) const {
    return {events.begin(), events.begin() + static_cast<std::ptrdiff_t>(index(kind))};
  }
  const RecordedEvent& first(const std::string& kind) const { return events.at(index(kind)); }

  pid_t pid = 0;
  std::vector<RecordedEvent> events;

 private:
  std::size_t index(const std::string& kind) const {
    for (std::size_t i = 0; i < events.size(); ++i) {
      const wire::SessionMessage* message = message_of(events[i]);
      if (kind == "pages" ? std::holds_alternative<wire::PagesArrived>(events[i].event)
                          : message != nullptr && message->body_case() == empty_message(kind).body_case())
        return i;
    }
    FAIL("the source has sent no " << kind);
    return 0;
  }

  TempDir watched_;
};

class EngineTable {
 public:
  EngineTable() {
    void* memory = ::mmap(nullptr, sizeof(EngineEnd), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    end_ = new (memory) EngineEnd;
  }
  ~EngineTable() { ::munmap(end_, sizeof(EngineEnd)); }

  void check_cell(const ProtocolState& state, const std::string& kind);
  // Messages without content, in states that take them: any end will do, but a good one.
  void check_empty(const ProtocolState& state, const std::string& kind);

 private:
  std::vector<RecordedEvent> prefix(const std::string& state, const std::string& kind) const;
  RecordedEvent genuine(const std::string& state, const std::string& kind) const;
  EngineEnd run(std::vector<RecordedEvent> events);
  void check_nothing_left(bool runs) const;

  Recording recording_;
  EngineEnd* end_;
  TempDir dir_;
  EngineOptions options_;
};

std::vector<RecordedEvent> EngineTable::prefix(const std::string& state, const std::string& kind) const {
  if (state == "Greeting") return {};
  if (state == "Surveying") return {recording_.first("Hello")};
  if (state == "Surveyed") return {recording_.first("Hello"), recording_.first("Preflight")};
  if (state == "Receiving") return recording_.before(kind == "Prepare" ? "Prepare" : "Freeze");
  if (state == "Prepared") return recording_.before("Go");
  if (state == "Resuming") return recording_.events;
  REQUIRE(state == "Storing");
  RecordedEvent hello = recording_.first("Hello"), images = message_event("Images");
  std::get<wire::SessionMessage>(hello.event).mutable_hello()->mutable_store()->set_name("a-set");
  if (kind != "StoreSet") return {hello};
  img::inventory_entry inventory;
  inventory.set_img_version(2);
  ImageStore store;
  store.create(std::string(image_file::kInventory));
  store.append(std::string(image_file::kInventory), inventory);
  wire::ImageFile& file = *std::get<wire::SessionMessage>(images.event).mutable_images()->add_files();
  file.set_name(std::string(image_file::kInventory));
  file.set_content(std::string(store.load(image_file::kInventory)));
  return {hello, images};
}

RecordedEvent EngineTable::genuine(const std::string& state, const std::string& kind) const {
  if (kind == "marks") return {wire::RoundEnded{1}, {}};
  RecordedEvent event = kind == "pages" || kind == "Hello" || kind == "Preflight" || kind == "Prepare" ||
                                kind == "Layout" || kind == "Verify"
                            ? recording_.first(kind)
                            : message_event(kind);
  auto* message = std::get_if<wire::SessionMessage>(&event.event);
  if (kind == "Layout" && state != "Surveyed") {
    message->mutable_layout()->clear_forks();
    message->mutable_layout()->clear_spaces();
  }
  if (kind == "Verify") message->mutable_verify()->clear_spaces();
  if (kind == "Holes") message->mutable_holes()->set_space(static_cast<uint64_t>(recording_.pid));
  if (kind == "StoreSet")
    message->mutable_store_set()->set_manifest(
        Manifest::begin(img::crx_manifest_entry::DUMP).head().SerializeAsString());
  return event;
}

EngineEnd EngineTable::run(std::vector<RecordedEvent> events) {
  *end_ = {};
  options_.session = make_session_id();
  options_.peer = "a test";
  options_.store = dir_.path() + "/" + options_.session;
  std::filesystem::create_directory(options_.store);
  options_.root_resumed = [](pid_t) {};
  const int64_t began_us = monotonic_us();
  const pid_t child = ::fork();
  if (child == 0) {
    be_silent();
    auto link = std::make_unique<Replay>(events);
    struct Borrowed final : wire::DestinationLink {
      explicit Borrowed(Replay& it) : link(it) {}
      void send(const wire::SessionMessage& message) override { link.send(message); }
      std::optional<wire::LinkEvent> receive(Deadline deadline) override { return link.receive(deadline); }
      void release(uint32_t slot) override { link.release(slot); }
      Replay& link;
    };
    const int exit = run_engine(std::make_unique<Borrowed>(*link), options_);
    report(*link, *end_);
    ::_exit(exit);
  }
  int status = 0;
  if (!reap(child, status, kEngineMs)) {
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
  } else if (WIFEXITED(status)) {
    end_->exit = WEXITSTATUS(status);
  }
  end_->us = monotonic_us() - began_us;
  return *end_;
}

// runs: whether the program runs here now, as this process's child; it is ended.
void EngineTable::check_nothing_left(bool runs) const {
  int status = 0;
  if (runs) {
    CHECK(::kill(recording_.pid, SIGKILL) == 0);
    CHECK(reap(recording_.pid, status, kEngineMs));
  }
  while (::waitpid(-1, &status, 0) > 0) {  // vessels that the engine has removed
  }
  CHECK(::kill(recording_.pid, 0) == -1);
  const std::vector<JournalRecord> records = read_journal(options_.store, options_.session);
  const JournalState last = records.empty() ? JournalState::never : records.back().state;
  CHECK(last == (runs ? JournalState::resumed : JournalState::never));
  std::vector<std::string> left;  // control groups; that of a tree that runs goes with the agent
  for (const auto& entry : std::filesystem::recursive_directory_iterator("/sys/fs/cgroup")) {
    if (entry.is_directory() &&
        entry.path().filename().string().find(options_.session.substr(0, 16)) != std::string::npos)
      left.push_back(entry.path());
  }
  CHECK(left.size() == (runs ? 1 : 0));
  for (const std::string& group : left) ::rmdir(group.c_str());
}

void EngineTable::check_cell(const ProtocolState& state, const std::string& kind) {
  CAPTURE(state.name);
  CAPTURE(kind);
  const bool takes = state.takes.count(kind) != 0;
  const bool resumes = state.name == "Resuming" || (state.name == "Prepared" && kind == "Go");
  std::vector<RecordedEvent> events = prefix(state.name, kind);
  events.push_back(genuine(state.name, kind));
  if (state.name == "Prepared" && takes && kind == "Go") events.push_back(message_event("Decided"));
  const std::size_t after = events.size();
  events.push_back(message_event(state.name == "Resuming" ? "Decided" : "Abort"));
  const EngineEnd end = run(events);
  const std::string answer = end.answer.data(), failure = end.failure.data();
  CAPTURE(answer);
  CAPTURE(failure);
  check_nothing_left(resumes);
  const bool ends = kind == "Abort" || kind == "StoreSet" || resumes || !takes;  // the last event is not received
  CHECK(end.left == (ends ? events.size() - after : 0));
  if (resumes) {
    CHECK(end.exit == 0);
    CHECK(answer == "Resumed");
    CHECK(end.us < kPatienceUs);
  } else if (takes) {
    CHECK(end.exit == (state.name == "Storing" && kind != "StoreSet" ? 1 : 0));
    CHECK(answer != "Failure");
  } else {
    CHECK(end.exit == 1);
    CHECK(answer == (state.name == "Prepared" ? "Never" : "Failure"));
    CHECK((state.name == "Prepared" || end.code == ErrorCode::peer));
    const bool says_so = failure.find(" came ") != std::string::npos ||
                         failure.find("a message that no source sends") != std::string::npos ||
                         failure.find("not allowed while a set is stored") != std::string::npos;
    CHECK(says_so);
  }
}

void EngineTable::check_empty(const ProtocolState& state, const std::string& kind) {
  CAPTURE(state.name);
  CAPTURE(kind);
  std::vector<RecordedEvent> events = prefix(state.name, "");
  events.push_back(kind == "pages" ? RecordedEvent{wire::PagesArrived(), {}} : message_event(kind));
  events.push_back(message_event("Abort"));
  const EngineEnd end = run(events);
  CAPTURE(end.failure.data());
  CHECK((end.exit == 0 || end.exit == 1));
  if (std::string(end.answer.data()) == "Failure") CHECK(end.code != ErrorCode::bug);
  check_nothing_left(false);
}

}  // namespace

TEST_CASE("engine: each message in each of its states") {
  EngineTable table;
  std::vector<std::string> kinds = message_kinds();
  kinds.insert(kinds.end(), {"pages", "marks"});
  for (const ProtocolState& state : states_of("engine")) {
    for (const std::string& kind : kinds) table.check_cell(state, kind);
    if (state.name == "Prepared" || state.name == "Resuming") continue;
    for (const std::string& kind : state.takes) {
      if (kind != "marks") table.check_empty(state, kind);
    }
  }
}

}  // namespace crx::test
