#include "tests/unit/agent/scripted_engine.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>

#include "common/base/fd.hpp"
#include "common/base/journal.hpp"
#include "tests/unit/agent/protocol_states.hpp"
#include "wire/page_codec.hpp"

namespace crx::test {
namespace {

using wire::SessionMessage;

enum class RecordKind : uint32_t { message = 1, pages = 2, round = 3 };

void write_record(int fd, RecordKind kind, const std::string& head, std::span<const std::byte> content) {
  const uint32_t sizes[3] = {static_cast<uint32_t>(kind), static_cast<uint32_t>(head.size()),
                             static_cast<uint32_t>(content.size())};
  std::string text(reinterpret_cast<const char*>(sizes), sizeof sizes);
  text += head;
  text.append(reinterpret_cast<const char*>(content.data()), content.size());
  if (::write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) throw std::runtime_error("write");
}

void record(int fd, const wire::LinkEvent& event) {
  if (const auto* message = std::get_if<SessionMessage>(&event))
    write_record(fd, RecordKind::message, message->SerializeAsString(), {});
  if (const auto* ended = std::get_if<wire::RoundEnded>(&event))
    write_record(fd, RecordKind::round, std::to_string(ended->round), {});
  if (const auto* pages = std::get_if<wire::PagesArrived>(&event)) {
    wire::PageBatch batch;
    batch.space = pages->space;
    batch.ranges = pages->ranges;
    batch.zero_ranges = pages->zero_ranges;
    batch.encoded_bytes = static_cast<uint32_t>(batch.content_bytes());
    write_record(fd, RecordKind::pages, wire::encode_head(batch), pages->bytes);
  }
}

RecordedEvent parse_record(RecordKind kind, const std::string& head, std::string content) {
  if (kind == RecordKind::round) return {wire::RoundEnded{static_cast<uint32_t>(std::stoul(head))}, {}};
  if (kind == RecordKind::message) {
    SessionMessage message;
    if (!message.ParseFromString(head)) throw std::runtime_error("a recorded message does not parse");
    return {std::move(message), {}};
  }
  wire::PageBatch batch =
      wire::parse_head(std::as_bytes(std::span(head.data(), head.size())), head.size() + content.size());
  wire::PagesArrived pages;
  pages.space = batch.space;
  pages.ranges = std::move(batch.ranges);
  pages.zero_ranges = std::move(batch.zero_ranges);
  return {std::move(pages), std::move(content)};
}

}  // namespace

class ScriptedEngine {
 public:
  ScriptedEngine(wire::DestinationLink& link, const EngineOptions& options, const Script& script)
      : link_(link),
        script_(*script.shared_),
        journal_(Journal::open(options.store, options.session)),
        recording_(open_checked(script.recording_, O_WRONLY | O_CREAT | O_TRUNC, 0600)) {
    journal_.append(JournalState::open, "from a test");
  }

  int run() {
    while (!done_) {
      const auto event = link_.receive(Deadline::never());
      if (!event) continue;
      if (std::holds_alternative<wire::LinkClosed>(*event)) return 1;
      record(recording_.get(), *event);
      if (const auto* message = std::get_if<SessionMessage>(&*event)) on_message(*message);
      if (const auto* pages = std::get_if<wire::PagesArrived>(&*event)) link_.release(pages->slot);
      if (const auto* ended = std::get_if<wire::RoundEnded>(&*event)) {
        SessionMessage answer = empty_message("RoundDone");
        answer.mutable_round_done()->set_round(ended->round);
        say(stopping_ ? "Stopping" : "Copying", answer);
      }
    }
    return 0;
  }

 private:
  void on_message(const SessionMessage& message) {
    if (message.has_hello()) {
      SessionMessage answer = empty_message("Welcome");
      answer.mutable_welcome()->set_protocol(script_.protocol);
      *answer.mutable_welcome()->mutable_host() = message.hello().host();
      say("Greeting", answer);
    } else if (message.has_preflight()) {
      say("Surveying", empty_message("PreflightResult"));
    } else if (message.has_freeze()) {
      stopping_ = true;
    } else if (message.has_prepare()) {
      journal_.append(JournalState::prepared);
      say("Preparing", empty_message("Prepared"));
    } else if (message.has_go()) {
      on_go();
    } else if (message.has_decided()) {
      resume();
    } else if (message.has_abort()) {
      done_ = true;
    }
  }

  void on_go() {
    const std::string message = is("Committing") ? script_.message.data() : "";
    if (script_.resumes || message == "Resumed") return resume();
    if (message == "Decided") {
      journal_.append(JournalState::resuming);
      return link_.send(empty_message("Decided"));
    }
    journal_.append(JournalState::never, "by the script");
    say("Committing", empty_message("Never"));
  }

  void resume() {
    if (journal_.last()->state == JournalState::prepared) journal_.append(JournalState::resuming);
    journal_.append(JournalState::resumed);
    link_.send(empty_message("Resumed"));
    if (is("Watching")) link_.send(empty_message(script_.message.data()));
    done_ = true;
  }

  bool is(const char* state) const { return std::string(script_.state.data()) == state; }
  void say(const char* state, const SessionMessage& right) {
    const SessionMessage scripted = is(state) ? empty_message(script_.message.data()) : right;
    link_.send(scripted.body_case() == right.body_case() ? right : scripted);
  }

  wire::DestinationLink& link_;
  const Script::Shared& script_;
  Journal journal_;
  Fd recording_;
  bool stopping_ = false, done_ = false;
};

Script::Script(std::string recording) : recording_(std::move(recording)) {
  void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("mmap");
  shared_ = new (memory) Shared;
}

Script::~Script() {
  ::munmap(shared_, sizeof(Shared));
}

void Script::say(const std::string& state, const std::string& message) {
  *shared_ = {};
  state.copy(shared_->state.data(), shared_->state.size() - 1);
  message.copy(shared_->message.data(), shared_->message.size() - 1);
}

void Script::resume(bool resumes) {
  shared_->resumes = resumes;
}

void Script::speak(uint32_t protocol) {
  shared_->protocol = protocol;
}

EngineMain Script::engine() const {
  return [this](std::unique_ptr<wire::DestinationLink> link, const EngineOptions& options) {
    return ScriptedEngine(*link, options, *this).run();
  };
}

std::vector<RecordedEvent> Script::recorded() const {
  const std::string text = read_file(recording_);
  std::vector<RecordedEvent> events;
  for (std::size_t at = 0; at < text.size();) {
    uint32_t sizes[3];
    std::memcpy(sizes, text.data() + at, sizeof sizes);
    at += sizeof sizes;
    events.push_back(parse_record(static_cast<RecordKind>(sizes[0]), text.substr(at, sizes[1]),
                                  text.substr(at + sizes[1], sizes[2])));
    at += sizes[1] + sizes[2];
  }
  return events;
}

}  // namespace crx::test
