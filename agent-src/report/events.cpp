#include "agent-src/report/events.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace crx {

void ObserverList::hello(const HelloEvent& event) {
  session_ = event.session;
  pid_ = event.pid;
  for (MigrationObserver* observer : observers_) observer->hello(event);
}

void ObserverList::preflight(const std::vector<PreflightFinding>& findings) {
  fatal_.clear();
  std::copy_if(findings.begin(), findings.end(), std::back_inserter(fatal_),
               [](const PreflightFinding& finding) { return finding.fatal; });
  preflight_passed_ = fatal_.empty();
  for (MigrationObserver* observer : observers_) observer->preflight(findings);
}

void ObserverList::progress(const ProgressEvent& event) {
  for (MigrationObserver* observer : observers_) observer->progress(event);
}

void ObserverList::round(const RoundReport& round) {
  for (MigrationObserver* observer : observers_) observer->round(round);
}

void ObserverList::freeze() {
  preflight_passed_ = true;
  for (MigrationObserver* observer : observers_) observer->freeze();
}

void ObserverList::prepared(const CutoverReport& cutover) {
  for (MigrationObserver* observer : observers_) observer->prepared(cutover);
}

void ObserverList::committed() {
  for (MigrationObserver* observer : observers_) observer->committed();
}

void ObserverList::done(const MigrationReport& report) {
  for (MigrationObserver* observer : observers_) observer->done(report);
}

void ObserverList::stopped_short(const MigrationReport& report) {
  for (MigrationObserver* observer : observers_) observer->stopped_short(report);
}

void ObserverList::failed(const FailedEvent& event) {
  failure_ = event;
  for (MigrationObserver* observer : observers_) observer->failed(event);
}

void ObserverList::wait_ended(const std::string& why) {
  for (MigrationObserver* observer : observers_) observer->wait_ended(why);
}

void ObserverList::exited(int wait_status) {
  wait_status_ = wait_status;
  for (MigrationObserver* observer : observers_) observer->exited(wait_status);
}

Outcome ObserverList::conclude(const Error& error) {
  if (failure_) return failure_->outcome;
  const bool cannot = error.code() == ErrorCode::refused || error.code() == ErrorCode::unsupported;
  FailedEvent event;
  event.outcome = cannot && !session_.empty() && !preflight_passed_ ? Outcome::refused : Outcome::failed;
  event.session = session_;
  event.pid = pid_;
  event.message = error.what();
  event.code = error.code();
  failed(event);
  return event.outcome;
}

Outcome ObserverList::conclude(int exit_code) {
  const auto outcome = static_cast<Outcome>(exit_code);
  if (outcome == Outcome::moved || failure_) return outcome;
  FailedEvent event;
  event.outcome = outcome;
  event.session = session_;
  event.pid = pid_;
  event.code = outcome == Outcome::refused ? ErrorCode::refused : ErrorCode::kernel;
  if (fatal_.empty()) {
    event.message = "moving the process: it did not come to an end; see the lines above";
  } else {
    const PreflightFinding& first = fatal_.front();
    event.message = fmt::format("preflight: {}: {}{}{}", first.object, first.reason, first.remedy.empty() ? "" : "; ",
                                first.remedy);
    if (fatal_.size() > 1) event.message += fmt::format(" (and {} more)", fatal_.size() - 1);
  }
  failed(event);
  return outcome;
}

}  // namespace crx
