#include "agent-src/events.hpp"

#include <algorithm>

namespace crx {

void ObserverList::hello(const HelloEvent& event) {
  session_ = event.session;
  pid_ = event.pid;
  for (MigrationObserver* observer : observers_) observer->hello(event);
}

void ObserverList::preflight(const std::vector<PreflightFinding>& findings) {
  preflight_passed_ = std::none_of(findings.begin(), findings.end(),
                                   [](const PreflightFinding& finding) { return finding.fatal; });
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
  report_ = report;
  for (MigrationObserver* observer : observers_) observer->done(report);
}

void ObserverList::failed(const FailedEvent& event) {
  failure_ = event;
  for (MigrationObserver* observer : observers_) observer->failed(event);
}

void ObserverList::exited(int wait_status) {
  wait_status_ = wait_status;
  for (MigrationObserver* observer : observers_) observer->exited(wait_status);
}

Outcome ObserverList::conclude(const Error& error) {
  if (failure_) return failure_->outcome;
  const bool cannot = error.code() == ErrorCode::refused || error.code() == ErrorCode::unsupported;
  FailedEvent event;
  event.outcome = cannot && !preflight_passed_ ? Outcome::refused : Outcome::failed;
  event.session = session_;
  event.pid = pid_;
  event.message = error.what();
  event.code = error.code();
  failed(event);
  return event.outcome;
}

}  // namespace crx
