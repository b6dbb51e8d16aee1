// The supervisor's handling of sessions: engines and restored roots, from their start to their end.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "agent-dst/ipc/packet.hpp"
#include "agent-dst/supervisor/status_text.hpp"
#include "agent-dst/supervisor/supervisor.hpp"
#include "agent-dst/supervisor/verdicts.hpp"
#include "common/base/error.hpp"
#include "common/base/journal.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/freezer_group.hpp"
#include "common/kernel/process/realtime.hpp"

namespace crx::supervisor {
namespace {

constexpr int64_t kOnceCloseMs = 5'000;  // --once: time for the last messages to the source
constexpr std::size_t kRecentExits = 64;

int exit_code(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

void Supervisor::refuse_session(const Connection& connection, const ipc::SessionNotice& asked, ipc::Refusal why,
                                const std::string& text, const std::string& hint) {
  if (const auto left_out = refusals_.take(monotonic_us()))
    log::warn("session {} is refused: {}{}", asked.session.get(), text, *left_out);
  events_.turned_away(asked.session.get(), connection.peer(), why, text, hint);
  refuse(connection, asked.tag, text, hint);
}

void Supervisor::spawn_engine(Connection& connection, const ipc::SessionNotice& notice) {
  SessionRequest request{notice.session.get(), connection.peer(),    connection.certificate, connection.names,
                         notice.wait != 0,     notice.new_pids != 0, notice.purpose};
  using ipc::Refusal;
  const auto refuse = [&](Refusal why, const std::string& text, const std::string& hint) {
    refuse_session(connection, notice, why, text, hint);
  };
  if (!is_session_id(request.session)) return refuse(Refusal::session_id, "the session id is not valid", {});
  if (serving(request.session) != nullptr || !connection.session.empty())
    return refuse(Refusal::session_id, "this session is open already", {});
  if (stopping_) return refuse(Refusal::stopping, "this agent is being stopped", {});
  if (options_.once && served_) return refuse(Refusal::stopping, "this agent serves one session only", {});
  if (open_sessions() >= options_.max_sessions) {
    return refuse(Refusal::sessions, fmt::format("{} sessions are open already", open_sessions()),
                  "try again later, or start the agent with a higher --max-sessions");
  }
  if (options_.max_peer_sessions > 0 && open_sessions(request.certificate) >= options_.max_peer_sessions) {
    return refuse(Refusal::peer_sessions,
                  fmt::format("{} sessions of this peer are open already", options_.max_peer_sessions),
                  "try again later, or start the agent with a higher --max-peer-sessions");
  }
  try {
    if (!read_journal(options_.store, request.session).empty()) {
      return refuse(Refusal::session_id, "this session has been here before", "start a new migration");
    }
    Engine engine;
    engine.request = std::move(request);
    engine.child = fork_engine(options_, main_, engine.request, connection.child.pid, mask_);
    ipc::SupervisorNotice granted;
    granted.kind = ipc::SupervisorNotice::Kind::engine;
    granted.tag = notice.tag;
    granted.session = notice.session;
    const int fds[] = {engine.child.session_link.get(), engine.child.ring.get()};
    answer(connection, granted, fds);
    engine.child.session_link.reset();
    engine.child.ring.reset();
    const pid_t pid = engine.child.pid;
    log::debug("the engine of session {} started (pid {})", engine.request.session, pid);
    events_.opened(engine.request);
    connection.session = engine.request.session;
    connection.token = notice.token;
    connection.place.leave();
    announce(connection);
    engines_.emplace(pid, std::move(engine));
  } catch (const Error& error) {
    refuse(Refusal::engine, error.what(), error.hint());
  }
}

void Supervisor::answer_query(const Connection& connection, const ipc::SessionNotice& notice) {
  const std::string session = notice.session.get();
  ipc::SupervisorNotice state;
  state.kind = ipc::SupervisorNotice::Kind::state;
  state.tag = notice.tag;
  state.session = notice.session;
  const bool live = is_live(session);
  try {
    const Verdict verdict = live ? read_verdict(options_.store, session)
                                 : settle(options_.store, session, "no engine serves this session any more");
    state.state.set(live && verdict.state == "unknown" ? "open" : verdict.state);
    state.text.set(verdict.detail);
  } catch (const Error& error) {
    state.kind = ipc::SupervisorNotice::Kind::refused;
    state.text.set(error.what());
  }
  answer(connection, state);
}

void Supervisor::on_engine(Engine& engine) {
  ipc::EngineNotice notice;
  for (;;) {
    std::size_t bytes = 0;
    std::vector<Fd> fds;
    if (!engine.child.notices) return;
    const auto result =
        ipc::receive_packet(engine.child.notices.get(), std::as_writable_bytes(std::span(&notice, 1)), bytes, fds);
    if (result == ipc::ReceiveResult::would_block) return;
    if (result == ipc::ReceiveResult::closed || bytes != sizeof notice) {
      engine.child.notices.reset();  // the engine has ended; SIGCHLD follows
      return;
    }
    const Root root{engine.request.session, engine.request.wait};
    if (engine.request.new_pids && notice.kind == ipc::EngineNotice::Kind::engine_ended && !engine.ended) {
      engine_exited(engine, notice.status);
    }
    if (engine.request.new_pids && notice.kind == ipc::EngineNotice::Kind::root_ended && engine.root != 0) {
      engine.root_ended = true;
      root_exited(root, engine.root, notice.status);
    }
    if (notice.kind != ipc::EngineNotice::Kind::root_resumed || notice.pid <= 0) continue;
    engine.root = notice.pid;
    events_.resumed(root.session, notice.pid, engine.request.new_pids ? engine.child.pid : notice.pid);
    if (engine.request.new_pids) {
      log::info("session {}: the tree runs here, root pid {} in the PID namespace of process {}", root.session,
                notice.pid, engine.child.pid);
      continue;
    }
    log::info("session {}: the tree runs here, root pid {}", root.session, notice.pid);
    for (auto seen = recent_exits_.begin(); seen != recent_exits_.end(); ++seen) {
      if (seen->first != notice.pid) continue;
      root_exited(root, seen->first, seen->second);
      recent_exits_.erase(seen);
      return;
    }
    roots_[notice.pid] = root;
  }
}

void Supervisor::on_exit(pid_t pid, int status) {
  if (pid == front_.pid) {
    if (!stopping_ || status != 0) log::error("the front ended ({}); it is started again", status_text(status));
    front_.link.reset();
    front_.pid = -1;
    return;
  }
  if (pid == signer_.pid) {
    if (!stopping_) log::error("the signer ended ({}); it is started again", status_text(status));
    signer_.link.reset();
    signer_.pid = -1;
    return;
  }
  if (const auto connection = connections_.find(pid); connection != connections_.end()) {
    connection_ended(connection->second, status);
    connections_.erase(connection);
    return;
  }
  if (const auto engine = engines_.find(pid); engine != engines_.end()) {
    on_engine(engine->second);
    Engine ended = std::move(engine->second);
    engines_.erase(engine);
    if (!ended.ended) engine_exited(ended, status);
    if (ended.request.new_pids && ended.root != 0) init_exited(ended, status);
    return;
  }
  if (unfinished_->reaped(pid, status)) return;
  if (const auto root = roots_.find(pid); root != roots_.end()) {
    const Root known = root->second;
    roots_.erase(root);
    root_exited(known, pid, status);
    return;
  }
  // A vessel of a session that has ended, or a root whose announcement has not arrived yet.
  log::debug("the child process {} ended: {}", pid, status_text(status));
  recent_exits_.emplace_back(pid, status);
  if (recent_exits_.size() > kRecentExits) recent_exits_.pop_front();
}

// The init of a PID namespace has ended, and with it all processes of the namespace.
void Supervisor::init_exited(const Engine& engine, int status) {
  if (!engine.root_ended) return root_exited({engine.request.session, engine.request.wait}, engine.root, status);
  remove_groups();
}

std::size_t Supervisor::open_sessions() const {
  return static_cast<std::size_t>(
      std::count_if(engines_.begin(), engines_.end(), [](const auto& entry) { return !entry.second.ended; }));
}

std::size_t Supervisor::open_sessions(const std::string& certificate) const {
  return static_cast<std::size_t>(std::count_if(engines_.begin(), engines_.end(), [&](const auto& entry) {
    return !entry.second.ended && entry.second.request.certificate == certificate;
  }));
}

void Supervisor::refused_by_preflight(const std::string& session) {
  for (auto& [pid, engine] : engines_) {
    if (engine.request.session == session) engine.refused = true;
  }
}

SessionEnd Supervisor::end_of(const Engine& engine, const std::string& state, int status) {
  if (state == "RESUMED") return SessionEnd::committed;
  if (state == "RESUMING") return SessionEnd::in_doubt;
  if (engine.refused) return SessionEnd::refused;
  if (status != 0 || engine.request.purpose == ipc::Purpose::move) return SessionEnd::failed;
  return engine.request.purpose == ipc::Purpose::check ? SessionEnd::checked : SessionEnd::stored;
}

void Supervisor::engine_exited(Engine& engine, int status) {
  engine.ended = true;
  const std::string& session = engine.request.session;
  log::at(status == 0 ? log::Level::info : log::Level::warn, "session {}: its engine ended ({})", session,
          status_text(status));
  const Connection* connection = serving(session);
  // the engine may have made it real-time for the stop
  if (WIFSIGNALED(status) && connection != nullptr) make_usual(connection->child.pid);
  ipc::SupervisorNotice notice;
  notice.kind = ipc::SupervisorNotice::Kind::engine_exited;
  notice.session.set(session);
  notice.status = status;
  notice.root = engine.root;
  try {
    const Verdict verdict = settle(options_.store, session, "the engine ended, " + status_text(status));
    notice.state.set(verdict.state);
    notice.text.set(verdict.detail);
    if (verdict.thawed_root != 0) thawed(engine.request, verdict.thawed_root);
    if (is_unsettled(verdict)) unfinished_->add(session);
  } catch (const Error& error) {
    log::error("session {}: {}", session, error.what());
  }
  to_session(notice);
  events_.ended(engine.request, end_of(engine, notice.state.get(), status), notice.state.get(), notice.text.get(),
                status, monotonic_us() - engine.began_us);
  if (board_ && engine.request.purpose == ipc::Purpose::store) {
    board_->look_at_store();
    events_.counters().stored_sets = board_->sets();
  }
  if (!options_.once) return;
  served_ = true;
  outcome_ = exit_code(status);
  const bool waits = engine.request.wait && status == 0 && engine.root != 0;
  if (!waits) once_close_ = Deadline::in_ms(kOnceCloseMs);
}

// Registers a tree that runs since its session was finished without its engine.
void Supervisor::thawed(const SessionRequest& request, pid_t root) {
  events_.resumed(request.session, root, root);
  if (!request.new_pids) roots_[root] = {request.session, request.wait};
}

bool Supervisor::is_live(const std::string& session) const {
  return std::any_of(engines_.begin(), engines_.end(),
                     [&](const auto& entry) { return !entry.second.ended && entry.second.request.session == session; });
}

void Supervisor::look_for_unfinished() {
  next_look_ = Deadline::in_ms(Unfinished::kLookMs);
  remove_groups();
  unfinished_->look([this](const std::string& session) { return is_live(session); },
                    [this](const std::string& session, const Verdict& verdict) {
                      SessionRequest request;
                      request.session = session;
                      if (verdict.thawed_root != 0) thawed(request, verdict.thawed_root);
                    });
}

void Supervisor::root_exited(const Root& root, pid_t pid, int status) {
  log::info("session {}: its root task (pid {}) ended: {}", root.session, pid, status_text(status));
  events_.root_exited(root.session, pid, status);
  ipc::SupervisorNotice notice;
  notice.kind = ipc::SupervisorNotice::Kind::root_exited;
  notice.session.set(root.session);
  notice.status = status;
  to_session(notice);
  remove_groups();
  if (served_) once_close_ = Deadline::in_ms(kOnceCloseMs);
}

// Removes the cgroups that engines have made for trees, once these have ended: also the groups of an engine that was
// killed, and those that an earlier agent has left.
void Supervisor::remove_groups() {
  try {
    remove_empty_groups(::getpid());
  } catch (const Error& error) {
    log::debug("cannot remove empty cgroups: {}", error.what());
  }
}

}  // namespace crx::supervisor
