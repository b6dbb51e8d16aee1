#include "agent-dst/supervisor/supervisor.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "agent-dst/front/limits.hpp"
#include "agent-dst/image_store/set_store.hpp"
#include "agent-dst/ipc/packet.hpp"
#include "agent-dst/supervisor/listener.hpp"
#include "agent-dst/supervisor/measures.hpp"
#include "agent-dst/supervisor/verdicts.hpp"
#include "common/base/directory.hpp"
#include "common/base/error.hpp"
#include "common/base/journal.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/child_process.hpp"
#include "wire/connection/tls_dir.hpp"

namespace crx {
namespace supervisor {
namespace {

constexpr int64_t kStopMs = 20'000;       // time limit for the engines and the front to end
constexpr int64_t kFrontRestartMs = 500;  // minimum time between two starts
constexpr int kPacketsAtOnce = 16;        // from one process before others have their turn

}  // namespace

Supervisor::Supervisor(AgentOptions& options, const EngineMain& main, const SourceRecovery& recovery,
                       const RereadOptions& reread)
    : options_(options),
      main_(main),
      reread_(reread),
      events_(options.json ? STDOUT_FILENO : -1, options.metrics ? &board_.emplace(options.store) : nullptr),
      strangers_(front::max_processes_of_owner(options.max_sessions),
                 2 * front::max_processes_of_owner(options.max_sessions)),
      guests_(front::max_processes_of_owner(options.max_sessions),
              2 * front::max_processes_of_owner(options.max_sessions)) {
  front::allow_descriptors(options.max_sessions);
  isolate();
  make_directory(options.store, "opening the store");
  listener_ = listen_on(options.listen, "--listen");
  if (options.metrics) metrics_ = listen_on(*options.metrics, "--metrics");
  sigset_t caught;
  sigemptyset(&caught);
  for (const int sig : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&caught, sig);
  if (::sigprocmask(SIG_BLOCK, &caught, &mask_) != 0) throw_errno("starting", "sigprocmask");
  signals_ = Fd(::signalfd(-1, &caught, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) throw_errno("starting", "signalfd");
  unfinished_.emplace(options, recovery, mask_);
  remove_groups();
  prune_journals(options.store, kJournalKeptNs);
  remove_staged(options.store);
  if (!board_) return;
  board_->inherit();
  next_measure_ = Deadline::in_ms(0);
}

// An agent in a container may not be allowed to make namespaces.
void Supervisor::isolate() noexcept {
  try {
    isolation_ = EmptyNamespaces::make();
  } catch (const std::exception& error) {
    log::warn("the processes that serve connections stay in the agent's namespaces: {}", error.what());
  }
}

int Supervisor::run() {
  start_signer();
  start_front();
  for (;;) {
    if (next_measure_.passed()) measure();
    if (next_look_.passed() && !stopping_) look_for_unfinished();
    poll_once();
    service_manager_.give_sign();
    report_status();
    if (!front_.link && !stopping_ && front_start_.passed()) start_front();
    if (!signer_.link && !stopping_ && signer_start_.passed()) start_signer();
    if (once_close_.passed() && !stopping_) begin_stop("the session is over");
    if (!stopping_) continue;
    if (open_sessions() == 0) end_idle_connections();
    if (open_sessions() == 0 && !front_.link && connections_.empty()) return outcome_;
    if (stop_by_.passed()) {
      // An engine that has journalled RESUMING completes without the supervisor; its journal records that.
      log::warn("crx-agent ends while {} sessions are still open", open_sessions());
      return outcome_ == 0 ? 1 : outcome_;
    }
  }
}

void Supervisor::start_front() {
  front_ = fork_front(options_, isolation_, listener_.get(), metrics_.get(), events_.counters(),
                      board_ ? &board_->shared() : nullptr, mask_);
  ++events_.counters().front_starts;
  front_ready_ = false;
  front_start_ = Deadline::in_ms(kFrontRestartMs);
  log::debug("the front started (pid {})", front_.pid);
}

void Supervisor::poll_once() {
  std::vector<pollfd> fds = {
      {signals_.get(), POLLIN, 0}, {front_.link.get(), POLLIN, 0}, {signer_.link.get(), POLLIN, 0}};
  const std::size_t services = fds.size();
  std::vector<pid_t> pids;
  for (const auto& [pid, engine] : engines_) {
    pids.push_back(pid);
    fds.push_back({engine.child.notices.get(), POLLIN, 0});
  }
  const std::size_t engines = pids.size();
  for (const auto& [pid, connection] : connections_) {
    pids.push_back(pid);
    fds.push_back({connection.child.link.get(), POLLIN, 0});
  }
  // -1 (for ever) becomes the largest value as an unsigned number.
  unsigned timeout = static_cast<unsigned>(next_measure_.poll_ms());
  const Deadline look = stopping_ ? Deadline::never() : next_look_;
  for (const Deadline& other : {stop_by_, once_close_, look, service_manager_.next_sign()})
    timeout = std::min(timeout, static_cast<unsigned>(other.poll_ms()));
  if (!front_.link && !stopping_) timeout = std::min(timeout, static_cast<unsigned>(front_start_.poll_ms()));
  if (!signer_.link && !stopping_) timeout = std::min(timeout, static_cast<unsigned>(signer_start_.poll_ms()));
  if (::poll(fds.data(), fds.size(), static_cast<int>(timeout)) < 0 && errno != EINTR)
    throw_errno("supervising", "poll");
  // Engines first: their announcements must be read before they are reaped.
  for (std::size_t i = 0; i < pids.size(); ++i) {
    if (fds[i + services].revents == 0) continue;
    if (i < engines)
      on_engine(engines_.at(pids[i]));
    else
      on_connection(connections_.at(pids[i]), kPacketsAtOnce);
  }
  if (fds[2].revents != 0) on_signer();
  if (fds[1].revents != 0) on_front();
  if (fds[0].revents != 0) on_signal();
  events_.counters().open_sessions = open_sessions();
}

void Supervisor::on_signal() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGHUP)
      reload();
    else if (info.ssi_signo != SIGCHLD)
      begin_stop("a signal arrived");
  }
  reap();
}

void Supervisor::reload() {
  if (stopping_) return;
  service_manager_.reloading();
  reread_policy();
  reread_keys();
}

// Sessions that are open keep the rules with which their engine began.
void Supervisor::reread_policy() noexcept {
  if (!reread_) return;
  try {
    AgentOptions fresh = reread_();
    options_.allow = std::move(fresh.allow);
    options_.policy = std::move(fresh.policy);
    options_.peers = std::move(fresh.peers);
    options_.require_signature = fresh.require_signature;
  } catch (const std::exception& error) {
    log::error("the rules of the configuration file stay as they were: {}", error.what());
  }
}

// The reload is over, successful or not.
void Supervisor::reloaded() {
  if (service_manager_.is_reloading()) service_manager_.ready();
}

void Supervisor::report_status() {
  if (!announced_ || stopping_) return;
  service_manager_.status(
      fmt::format("listens on port {}; open sessions: {}", bound_port(listener_.get()), open_sessions()));
}

void Supervisor::begin_stop(const char* why) {
  if (stopping_) return;
  log::info("crx-agent stops: {}", why);
  events_.stopping(why);
  service_manager_.stopping(why);
  stopping_ = true;
  events_.counters().is_stopping = 1;
  stop_by_ = Deadline::in_ms(kStopMs);
  ipc::EngineNotice notice;
  for (const auto& [pid, engine] : engines_) {
    (void)ipc::send_packet(engine.child.notices.get(), std::as_bytes(std::span(&notice, 1)));
  }
  to_front(ipc::SupervisorNotice{});
  for (const auto& [pid, connection] : connections_) answer(connection, ipc::SupervisorNotice{});
}

// Measures what changes by itself: the host's part of the figures, and the lists of the status page.
void Supervisor::measure() {
  ipc::AgentCounters& counters = events_.counters();
  measure_agent(options_.store, counters);
  counters.signer_is_ready = signer_ready_ && signer_.link ? 1 : 0;
  counters.is_stopping = stopping_ ? 1 : 0;
  board_->refresh();
  counters.stored_sets = board_->sets();
  counters.running_roots = board_->trees();
  next_measure_ = Deadline::in_ms(ipc::AgentCounters::kBeatMs);
}

void Supervisor::to_front(const ipc::SupervisorNotice& notice, std::span<const int> fds) {
  if (front_.link) (void)ipc::send_packet(front_.link.get(), std::as_bytes(std::span(&notice, 1)), {}, fds);
}

void Supervisor::on_front() {
  ipc::FrontNotice notice;
  for (;;) {
    std::size_t bytes = 0;
    std::vector<Fd> fds;
    const auto result =
        ipc::receive_packet(front_.link.get(), std::as_writable_bytes(std::span(&notice, 1)), bytes, fds);
    if (result == ipc::ReceiveResult::would_block) return;
    if (result == ipc::ReceiveResult::closed || bytes != sizeof notice) {
      // The front has ended or sent something invalid; in both cases it is replaced once it has been reaped.
      if (!stopping_) (void)::kill(front_.pid, SIGKILL);
      front_.link.reset();
      return;
    }
    on_front_notice(notice, std::move(fds));
  }
}

// The front or the signer is ready.
void Supervisor::ready() {
  if (announced_ || !front_ready_ || !signer_ready_) return;
  announced_ = true;
  const uint16_t port = bound_port(listener_.get());
  log::info("crx-agent listens on {}", Endpoint{options_.listen.host, port}.text());
  events_.listening({options_.listen.host, port});
  if (metrics_)
    log::info("the metrics are at http://{}/", Endpoint{options_.metrics->host, bound_port(metrics_.get())}.text());
  service_manager_.ready();
  if (options_.ready_fd < 0) return;
  const Fd told(options_.ready_fd);  // closed at the end of this scope, so the reader also sees the end of the file
  const std::string text = fmt::format("ready {}\n", port);
  if (::write(told.get(), text.data(), text.size()) < 0) {
    log::warn("cannot write to --ready-fd {}: {}", options_.ready_fd, std::strerror(errno));
  }
}

void Supervisor::reap() {
  for (;;) {
    int status = 0;
    const pid_t pid = try_reap_any(status);
    if (pid <= 0) return;
    on_exit(pid, status);
  }
}

}  // namespace supervisor

int run_agent(const AgentOptions& options, const EngineMain& engine, const SourceRecovery& recovery,
              const RereadOptions& reread) {
  AgentOptions resolved = options;
  resolved.tls_dir = wire::tls_dir_or_default(options.tls_dir);
  supervisor::Supervisor agent(resolved, engine, recovery, reread);
  return agent.run();
}

}  // namespace crx
