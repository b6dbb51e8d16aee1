// The output of crx-migrate about a migration, for scripts and people.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "agent-src/report/events.hpp"
#include "agent-src/report/json_events.hpp"
#include "agent-src/report/progress.hpp"
#include "common/base/fd.hpp"
#include "tests/unit/report/sample.hpp"

namespace crx {
namespace {

struct Pipe {
  explicit Pipe(int flags = O_CLOEXEC) {
    int fds[2];
    REQUIRE(::pipe2(fds, flags) == 0);
    in = Fd(fds[0]);
    out = Fd(fds[1]);
  }
  // Returns the output so far.
  std::string drain() {
    std::string text;
    char buffer[65536];
    ::fcntl(in.get(), F_SETFL, O_NONBLOCK);
    for (ssize_t n; (n = ::read(in.get(), buffer, sizeof buffer)) > 0;)
      text.append(buffer, static_cast<std::size_t>(n));
    return text;
  }
  Fd in, out;
};

std::vector<nlohmann::json> lines(const std::string& text) {
  std::vector<nlohmann::json> all;
  std::istringstream input(text);
  for (std::string line; std::getline(input, line);) all.push_back(nlohmann::json::parse(line));
  return all;
}

TEST_CASE("report: --json prints one object per line, the last one with what scripts rely on") {
  Pipe pipe;
  JsonEvents events(pipe.out.get());
  const MigrationReport report = sample_report();
  events.hello({report.session, 4711, report.comm, "host-b:7077", report.source, report.destination, 120, "wp-async"});
  events.preflight({{false, "host-b", "file /x", "is newer", "look at it"}});
  for (const RoundReport& round : report.rounds) events.round(round);
  events.freeze();
  events.prepared(report.cutover);
  events.committed();
  events.done(report);
  const std::vector<nlohmann::json> all = lines(pipe.drain());
  std::vector<std::string> names;
  for (const nlohmann::json& line : all) names.push_back(line.at("event"));
  CHECK(names == std::vector<std::string>{"hello", "preflight", "round", "round", "round", "round", "round", "freeze",
                                          "prepared", "committed", "done"});
  CHECK(all[1].at("ok") == true);
  CHECK(all[8].at("cutover").at("rebuild_us") == 4000);
  const nlohmann::json& last = all.back();
  CHECK(last.at("session") == report.session);
  CHECK(last.at("pid") == 4711);
  CHECK(last.at("downtime_us") == 12'345);
  CHECK(last.at("frozen_us") == 13'456);
  CHECK(last.at("total_ms") == 2'345);
  CHECK(last.at("total_us") == 2'345'678);
  for (const nlohmann::json& steps : {last.at("phases"), last.at("cutover").at("stop_steps")}) {
    int64_t sum = 0;
    for (const nlohmann::json& step : steps) sum += step.at("us").get<int64_t>();
    CHECK(sum == (steps.size() == 6 ? 2'345'678 : 12'345));
  }
  CHECK(last.at("rounds") == 5);
  CHECK(last.at("pages_sent") == report.pages_sent);
  CHECK(last.at("bytes_raw") == report.bytes_raw);
  CHECK(last.at("bytes_wire") == report.bytes_wire);
  CHECK(last.at("verify") == "ok");
  CHECK_FALSE(last.contains("exit_status"));
}

TEST_CASE("report: with --wait the done line comes last and carries the program's exit status") {
  Pipe pipe;
  {
    JsonEvents events(pipe.out.get(), true);
    events.committed();
    events.done(sample_report());
    CHECK(lines(pipe.drain()).size() == 1);
    events.exited(3 << 8);
    CHECK(lines(pipe.drain()).at(0).at("exit_status") == 3);
  }
  {
    JsonEvents events(pipe.out.get(), true);
    events.done(sample_report());
    CHECK(pipe.drain().empty());
  }
  CHECK(lines(pipe.drain()).at(0).at("event") == "done");  // the program's end never became known
  CHECK(shell_status(9) == 137);
}

TEST_CASE("report: a slow reader never delays a frozen process") {
  Pipe pipe(O_CLOEXEC);
  ::fcntl(pipe.out.get(), F_SETPIPE_SZ, 4096);
  MigrationReport report = sample_report();
  for (int i = 0; i < 300; ++i) report.cutover.source_steps.push_back({"a step that makes the line long", i});
  JsonEvents events(pipe.out.get());
  events.freeze();
  for (int i = 0; i < 5; ++i) events.prepared(report.cutover);  // never returns if writing blocks
  std::string text = pipe.drain();
  CHECK(text.size() <= 4096);
  ::fcntl(pipe.out.get(), F_SETPIPE_SZ, 1 << 20);
  events.committed();
  text += pipe.drain();
  const std::vector<nlohmann::json> all = lines(text);
  CHECK(all.size() == 7);
  CHECK(all.back().at("event") == "committed");
}

TEST_CASE("report: a closed pipe is no error") {
  Pipe pipe;
  pipe.in.reset();
  ::signal(SIGPIPE, SIG_IGN);
  JsonEvents events(pipe.out.get());
  events.freeze();
  events.committed();
}

TEST_CASE("report: the outcome of an error depends on the phase") {
  const Error refused(ErrorCode::refused, "preflight", "pid 1 fd 3: a terminal");
  const Error lost(ErrorCode::peer, "connecting", "host-b: no route");
  {
    ObserverList list(5);
    CHECK(list.conclude(lost) == Outcome::failed);
  }
  {
    ObserverList list(5);
    CHECK(list.conclude(refused) == Outcome::failed);  // unreadable keys, for example: preflight was not reached
  }
  {
    ObserverList list(5);
    list.hello({"0123456789abcdef0123456789abcdef", 5, "p", "b:1", {}, {}, 0, ""});
    CHECK(list.conclude(refused) == Outcome::refused);
  }
  {
    ObserverList list(5);
    list.hello({"0123456789abcdef0123456789abcdef", 5, "p", "b:1", {}, {}, 0, ""});
    list.preflight({{true, "host-a", "fd 3", "a terminal", ""}});
    CHECK(list.conclude(refused) == Outcome::refused);
  }
  {
    ObserverList list(5);
    list.preflight({{false, "host-a", "fd 3", "odd", ""}});
    CHECK(list.conclude(refused) == Outcome::failed);  // a hook, for example: rolled back, but the tree was touched
  }
  {
    Pipe pipe;
    JsonEvents events(pipe.out.get());
    ObserverList list(5);
    list.add(events);
    list.hello({"0123456789abcdef0123456789abcdef", 5, "p", "b:1", {}, {}, 0, ""});
    list.failed({Outcome::in_doubt, "0123456789abcdef0123456789abcdef", 5, "no answer", ErrorCode::peer});
    CHECK(list.conclude(lost) == Outcome::in_doubt);
    const std::vector<nlohmann::json> all = lines(pipe.drain());
    REQUIRE(all.size() == 2);
    CHECK(all[1].at("outcome") == "in_doubt");
    CHECK(all[1].at("exit") == 4);
    CHECK(all[1].at("message") == "no answer");
  }
}

TEST_CASE("report: a refusal by preflight ends with one sentence, also where the session only returned") {
  Pipe pipe;
  JsonEvents events(pipe.out.get());
  ObserverList list(5);
  list.add(events);
  list.preflight({{false, "a", "x", "y", "z"},
                  {true, "a", "pid 5 fd 3", "is a terminal", "use --shell-job"},
                  {true, "b", "file /x", "is missing", ""}});
  CHECK(list.conclude(3) == Outcome::refused);
  CHECK(list.conclude(3) == Outcome::refused);
  const std::vector<nlohmann::json> all = lines(pipe.drain());
  REQUIRE(all.size() == 2);
  CHECK(all[1].at("event") == "failed");
  CHECK(all[1].at("outcome") == "refused");
  CHECK(all[1].at("message") == "preflight: pid 5 fd 3: is a terminal; use --shell-job (and 1 more)");
  ObserverList quiet(5);
  CHECK(quiet.conclude(0) == Outcome::moved);
}

TEST_CASE("report: people read findings, failures and a summary") {
  Pipe pipe;
  HumanOutput human(pipe.out.get(), {.live = false, .summary = true, .check_only = true});
  human.hello({"s", 5, "prog", "b:1", {}, {}, 0, ""});
  human.preflight({{false, "host-b", "file /x", "is newer", "look at it"}});
  CHECK(pipe.drain() ==
        "note: host-b: file /x: is newer; look at it\n"
        "pid 5 (prog) can move to b:1: nothing stands in its way\n");
  human.preflight({{true, "host-a", "pid 5 fd 3", "is a terminal", ""}});
  CHECK(pipe.drain() == "host-a: pid 5 fd 3: is a terminal\n");
  human.failed({Outcome::refused, "s", 5, "preflight: pid 5 fd 3: is a terminal", ErrorCode::refused});
  CHECK(pipe.drain() == "crx-migrate: process 5 cannot be moved, for the reason above\nNothing was touched.\n");
  human.preflight(std::vector<PreflightFinding>(500, {true, "host-a", "fd 3", "is odd", "close it"}));
  human.failed({Outcome::refused, "s", 5, "preflight: fd 3: is odd; close it (and 499 more)", ErrorCode::refused});
  CHECK(pipe.drain() ==
        "host-a: fd 3, fd 3, fd 3 and 497 more: is odd; close it\n"
        "crx-migrate: process 5 cannot be moved, for the 500 reasons above\nNothing was touched.\n");
  human.preflight({});
  CHECK(pipe.drain().find("nothing stands in its way") != std::string::npos);
  human.failed({Outcome::refused, "s", 5, "preflight: fd 3 is odd", ErrorCode::refused});
  CHECK(pipe.drain().starts_with("crx-migrate: preflight: fd 3 is odd\nNothing"));
  human.progress({1, 5, 10, 3, 0, -1});
  CHECK(pipe.drain().empty());  // no live line was requested
  human.done(sample_report());
  const std::string summary = pipe.drain();
  for (const char* part : {"downtime 12.3 ms", "rebuild", "4,000 us", "host-a to host-b", "memory verified", "last"}) {
    CHECK_MESSAGE(summary.find(part) != std::string::npos, part);
  }
  human.failed({Outcome::in_doubt, "0123456789abcdef0123456789abcdef", 5, "no answer", ErrorCode::peer});
  const std::string doubt = pipe.drain();
  CHECK(doubt.find("crx-migrate --resolve 0123456789abcdef0123456789abcdef") != std::string::npos);
  CHECK(doubt.find("kept frozen") != std::string::npos);
}

TEST_CASE("report: the live line is redrawn and cleared") {
  Pipe pipe;
  HumanOutput human(pipe.out.get(), {.live = true, .summary = true, .check_only = false});
  human.progress({1, 512 << 20, 1024 << 20, 1000, 64 << 20, 8'000'000});
  CHECK(pipe.drain().find(" 50%  512.0 MiB of 1.0 GiB  64.0 MiB/s  8 s left") != std::string::npos);
  human.freeze();
  CHECK(pipe.drain() == "\r\x1b[K");
  CHECK(wants_live_line(ProgressMode::always, pipe.out.get()));
  CHECK_FALSE(wants_live_line(ProgressMode::automatic, pipe.out.get()));
}

TEST_CASE("report: the live line never wraps, and names no time left before the rate is known") {
  const ProgressEvent event{12, 512 << 20, uint64_t{1024} << 20, uint64_t{300} << 20, 64 << 20, 3'725'000'000};
  for (const std::size_t width : {20U, 40U, 60U, 80U, 100U, 200U}) CHECK(render_progress(event, width).size() < width);
  CHECK(render_progress(event, 80).find("1 h 02 min left") != std::string::npos);
  CHECK(render_progress(event, 80).find("#.") != std::string::npos);
  CHECK(render_progress(event, 200).find("[##########..........]") != std::string::npos);
  CHECK(render_progress(event, 200).find("300.0 MiB on the wire") != std::string::npos);
  CHECK(render_progress({1, 0, 4096, 0, 0, -1}, 80).find("left") == std::string::npos);
  CHECK(render_progress({1, 0, 0, 0, 0, -1}, 80).find("  0%") != std::string::npos);
}

TEST_CASE("report: --json has progress, at most twice a second") {
  Pipe pipe;
  JsonEvents events(pipe.out.get());
  for (unsigned i = 0; i < 20; ++i) events.progress({1, 4096 * i, 81920, 5000, 40960, i == 0 ? -1 : 2'000'000});
  const std::vector<nlohmann::json> all = lines(pipe.drain());
  REQUIRE(all.size() == 1);
  CHECK(all[0].at("event") == "progress");
  CHECK(all[0].at("bytes_planned") == 81920);
  CHECK(all[0].at("bytes_per_second") == 40960);
  CHECK_FALSE(all[0].contains("left_us"));
}

}  // namespace
}  // namespace crx
