#include "agent-src/report/json_events.hpp"

#include <limits.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/base/clock.hpp"
#include "common/base/log.hpp"

namespace crx {
namespace {

using nlohmann::ordered_json;

constexpr int64_t kProgressEveryUs = 500'000;

std::string_view name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::moved:
      return "moved";
    case Outcome::failed:
      return "failed";
    case Outcome::usage:
      return "usage";
    case Outcome::refused:
      return "refused";
    case Outcome::in_doubt:
      return "in_doubt";
  }
  return "failed";
}

ordered_json to_json(const HostSummary& host) {
  return {{"name", host.name}, {"kernel", host.kernel_release}, {"version", host.tool_version}};
}

ordered_json to_json(const RoundReport& round) {
  return {{"round", round.round},
          {"final", round.is_final},
          {"start_us", round.start_us},
          {"duration_us", round.duration_us},
          {"scan_us", round.scan_us},
          {"bytes_scanned", round.bytes_scanned},
          {"bytes_dirty", round.bytes_dirty},
          {"pages_sent", round.pages_sent},
          {"pages_raw", round.pages_raw},
          {"pages_zero", round.pages_zero},
          {"pages_compressed", round.pages_compressed},
          {"bytes_wire", round.bytes_wire}};
}

ordered_json to_json(const std::vector<Step>& steps) {
  ordered_json out = ordered_json::array();
  for (const Step& step : steps) out.push_back({{"name", step.name}, {"us", step.us}});
  return out;
}

ordered_json to_json(const CutoverReport& cutover) {
  ordered_json out;
  const auto put = [&out](const char* name, int64_t us) {
    if (us >= 0) out[name] = us;
  };
  put("freeze_us", cutover.freeze_us);
  put("collect_us", cutover.collect_us);
  put("last_pages_us", cutover.last_pages_us);
  put("apply_us", cutover.apply_us);
  put("rebuild_us", cutover.rebuild_us);
  put("commit_us", cutover.commit_us);
  put("resume_us", cutover.resume_us);
  out["start_us"] = cutover.start_us;
  out["stop_steps"] = to_json(cutover.stop_steps);
  out["source_steps"] = to_json(cutover.source_steps);
  out["destination_steps"] = to_json(cutover.destination_steps);
  return out;
}

}  // namespace

int shell_status(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

class JsonEvents::Line {
 public:
  Line(const JsonEvents& owner, const char* event)
      : json({{"event", event}, {"t_us", monotonic_us() - owner.began_us_}}) {}
  ordered_json json;
};

JsonEvents::JsonEvents(int fd, bool wait) : fd_(fd), wait_(wait), began_us_(monotonic_us()) {}

JsonEvents::~JsonEvents() {
  try {
    frozen_ = false;
    wait_ = false;
    // The connection was lost before the program's end became known.
    if (held_) done(*std::exchange(held_, std::nullopt));
    flush();
  } catch (const std::exception& error) {
    log::warn("cannot write the last event: {}", error.what());
  }
}

void JsonEvents::put(const Line& line) {
  // Bytes that are not UTF-8 (in a process name, a path) are replaced instead of throwing.
  pending_ += line.json.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
  flush();
}

void JsonEvents::flush() noexcept {
  while (!pending_.empty()) {
    // A pipe that poll(2) reports writable takes PIPE_BUF bytes without blocking.
    pollfd event{fd_, POLLOUT, 0};
    if (frozen_ && ::poll(&event, 1, 0) != 1) return;
    const std::size_t part = frozen_ ? std::min<std::size_t>(pending_.size(), PIPE_BUF) : pending_.size();
    const ssize_t n = ::write(fd_, pending_.data(), part);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN && !frozen_) {
      ::poll(&event, 1, -1);
      continue;
    }
    if (n < 0 && errno != EAGAIN) pending_.clear();  // the reader has closed the pipe; the migration goes on
    if (n < 0) return;
    pending_.erase(0, static_cast<std::size_t>(n));
  }
}

void JsonEvents::hello(const HelloEvent& event) {
  Line line(*this, "hello");
  line.json["session"] = event.session;
  line.json["pid"] = event.pid;
  line.json["comm"] = event.comm;
  line.json["to"] = event.to;
  line.json["source"] = to_json(event.source);
  line.json["destination"] = to_json(event.destination);
  line.json["rtt_us"] = event.rtt_us;
  line.json["tracker"] = event.tracker;
  put(line);
}

void JsonEvents::preflight(const std::vector<PreflightFinding>& findings) {
  Line line(*this, "preflight");
  bool ok = true;
  ordered_json list = ordered_json::array();
  for (const PreflightFinding& finding : findings) {
    ok = ok && !finding.fatal;
    list.push_back({{"fatal", finding.fatal},
                    {"where", finding.where},
                    {"object", finding.object},
                    {"reason", finding.reason},
                    {"remedy", finding.remedy}});
  }
  line.json["ok"] = ok;
  line.json["findings"] = std::move(list);
  put(line);
}

void JsonEvents::progress(const ProgressEvent& event) {
  const int64_t now_us = monotonic_us();
  if (now_us - progress_us_ < kProgressEveryUs) return;
  progress_us_ = now_us;
  Line line(*this, "progress");
  line.json["round"] = event.round;
  line.json["bytes_done"] = event.bytes_done;
  line.json["bytes_planned"] = event.bytes_planned;
  line.json["bytes_wire"] = event.bytes_wire;
  line.json["bytes_per_second"] = event.bytes_per_second;
  if (event.left_us >= 0) line.json["left_us"] = event.left_us;
  put(line);
}

void JsonEvents::round(const RoundReport& round) {
  Line line(*this, "round");
  line.json.update(to_json(round));
  put(line);
}

void JsonEvents::freeze() {
  frozen_ = true;
  put(Line(*this, "freeze"));
}

void JsonEvents::prepared(const CutoverReport& cutover) {
  Line line(*this, "prepared");
  line.json["cutover"] = to_json(cutover);
  put(line);
}

void JsonEvents::committed() {
  frozen_ = false;
  put(Line(*this, "committed"));
}

void JsonEvents::done(const MigrationReport& report) {
  frozen_ = false;
  if (wait_) {
    held_ = report;
    return;
  }
  Line line(*this, "done");
  line.json["session"] = report.session;
  line.json["pid"] = report.pid;
  line.json["comm"] = report.comm;
  line.json["downtime_us"] = report.downtime_us;
  line.json["frozen_us"] = report.frozen_us;
  line.json["tracking_stop_us"] = report.tracking_stop_us;
  line.json["total_ms"] = report.total_us / 1000;
  line.json["total_us"] = report.total_us;
  line.json["phases"] = to_json(report.phases);
  line.json["rounds"] = report.rounds.size();
  line.json["pages_sent"] = report.pages_sent;
  line.json["bytes_raw"] = report.bytes_raw;
  line.json["bytes_wire"] = report.bytes_wire;
  line.json["verify"] = report.verify == VerifyResult::ok ? "ok" : "off";
  line.json["memory_bytes"] = report.memory_bytes;
  line.json["tracker"] = report.tracker;
  line.json["compress"] = report.compress;
  line.json["cutover"] = to_json(report.cutover);
  if (wait_status_) line.json["exit_status"] = shell_status(*wait_status_);
  if (!wait_ended_.empty()) line.json["wait_ended"] = wait_ended_;
  put(line);
}

void JsonEvents::stopped_short(const MigrationReport& report) {
  short_ = report;
}

void JsonEvents::failed(const FailedEvent& event) {
  frozen_ = false;
  held_.reset();
  Line line(*this, "failed");
  line.json["outcome"] = name_of(event.outcome);
  line.json["exit"] = static_cast<int>(event.outcome);
  line.json["session"] = event.session;
  line.json["pid"] = event.pid;
  line.json["code"] = to_string(event.code);
  line.json["message"] = event.message;
  if (short_) {
    line.json["total_us"] = short_->total_us;
    line.json["phases"] = to_json(short_->phases);
    line.json["rounds"] = short_->rounds.size();
    line.json["bytes_wire"] = short_->bytes_wire;
  }
  put(line);
}

void JsonEvents::exited(int wait_status) {
  wait_status_ = wait_status;
  wait_ = false;
  if (held_) done(*std::exchange(held_, std::nullopt));
}

void JsonEvents::wait_ended(const std::string& why) {
  wait_ended_ = why;
  wait_ = false;
  if (held_) done(*std::exchange(held_, std::nullopt));
}

}  // namespace crx
