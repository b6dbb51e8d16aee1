#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <map>

#include "agent-dst/agent.hpp"
#include "agent-dst/ipc/packet.hpp"
#include "agent-dst/ipc/supervisor_packets.hpp"
#include "agent-dst/supervisor/children.hpp"
#include "agent-dst/supervisor/listener.hpp"
#include "agent-dst/supervisor/verdicts.hpp"
#include "common/base/error.hpp"
#include "common/base/journal.hpp"

namespace crx {
namespace supervisor {
namespace {

constexpr int64_t kStopMs = 20'000;       // engines and front may take so long to end
constexpr int64_t kFrontRestartMs = 500;  // between two starts
constexpr int64_t kOnceCloseMs = 5'000;   // --once: the front's last words to the source
constexpr std::size_t kRecentExits = 64;

std::string status_text(int status) {
  return WIFSIGNALED(status) ? fmt::format("killed by signal {}", WTERMSIG(status))
                             : fmt::format("exit status {}", WEXITSTATUS(status));
}
int exit_code(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

class Supervisor {
 public:
  Supervisor(const AgentOptions& options, const EngineMain& main);
  int run();

 private:
  struct Engine {
    SessionRequest request;
    EngineChild child;
    pid_t root = 0;
  };
  struct Root {
    std::string session;
    bool wait = false;
  };

  void start_front();
  void poll_once();
  void on_signal();
  void on_front();
  void on_front_notice(const ipc::FrontNotice& notice);
  void spawn_engine(const ipc::FrontNotice& notice);
  void answer_query(const ipc::FrontNotice& notice);
  void refuse(const ipc::FrontNotice& to, const std::string& text, const std::string& hint);
  void on_engine(Engine& engine);
  void reap();
  void on_exit(pid_t pid, int status);
  void engine_exited(Engine engine, int status);
  void root_exited(const Root& root, pid_t pid, int status);
  void to_front(const ipc::SupervisorNotice& notice, std::span<const int> fds = {});
  void begin_stop(const char* why);
  void ready();

  const AgentOptions& options_;
  const EngineMain& main_;
  sigset_t mask_{};
  Fd signals_;
  Fd listener_;
  FrontChild front_;
  bool front_ready_ = false;
  bool announced_ = false;
  Deadline front_start_ = Deadline::in_ms(0);  // not before
  std::map<pid_t, Engine> engines_;
  std::map<pid_t, Root> roots_;
  std::deque<std::pair<pid_t, int>> recent_exits_;  // of children nobody has claimed yet
  bool stopping_ = false;
  Deadline stop_by_ = Deadline::never();
  bool served_ = false;  // --once: the session's engine has ended
  Deadline once_close_ = Deadline::never();
  int outcome_ = 0;
};

Supervisor::Supervisor(const AgentOptions& options, const EngineMain& main) : options_(options), main_(main) {
  if (::mkdir(options.store.c_str(), 0700) != 0 && errno != EEXIST)
    throw_errno("opening the store", options.store);
  listener_ = listen_on(options.listen);
  sigset_t caught;
  sigemptyset(&caught);
  for (const int sig : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&caught, sig);
  if (::sigprocmask(SIG_BLOCK, &caught, &mask_) != 0) throw_errno("starting crx-agent", "sigprocmask");
  signals_ = Fd(::signalfd(-1, &caught, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) throw_errno("starting crx-agent", "signalfd");
  settle_all(options.store);
}

int Supervisor::run() {
  start_front();
  for (;;) {
    poll_once();
    if (!front_.link && !stopping_ && front_start_.passed()) start_front();
    if (once_close_.passed() && !stopping_) begin_stop("the session is over");
    if (!stopping_) continue;
    if (engines_.empty() && !front_.link) return outcome_;
    if (stop_by_.passed()) {
      // An engine that is past RESUMING finishes without us; its journal says so.
      log::warn("crx-agent ends while {} sessions are still open", engines_.size());
      return outcome_ == 0 ? 1 : outcome_;
    }
  }
}

void Supervisor::start_front() {
  front_ = fork_front(options_, listener_.get(), mask_);
  front_ready_ = false;
  front_start_ = Deadline::in_ms(kFrontRestartMs);
  log::debug("front started (pid {})", front_.pid);
}

void Supervisor::poll_once() {
  std::vector<pollfd> fds = {{signals_.get(), POLLIN, 0}, {front_.link.get(), POLLIN, 0}};
  std::vector<pid_t> pids;
  for (const auto& [pid, engine] : engines_) {
    pids.push_back(pid);
    fds.push_back({engine.child.notices.get(), POLLIN, 0});
  }
  // -1 (for ever) is the largest as an unsigned number.
  int timeout = static_cast<int>(
      std::min(static_cast<unsigned>(stop_by_.poll_ms()), static_cast<unsigned>(once_close_.poll_ms())));
  if (!front_.link && !stopping_) timeout = front_start_.poll_ms();
  if (::poll(fds.data(), fds.size(), timeout) < 0 && errno != EINTR) throw_errno("supervising", "poll");
  // Engines first: what they announced before they ended must be known when they are reaped.
  for (std::size_t i = 0; i < pids.size(); ++i) {
    if (fds[i + 2].revents != 0) on_engine(engines_.at(pids[i]));
  }
  if (fds[1].revents != 0) on_front();
  if (fds[0].revents != 0) on_signal();
}

void Supervisor::on_signal() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo != SIGCHLD) begin_stop("a signal asks for it");
  }
  reap();
}

void Supervisor::begin_stop(const char* why) {
  if (stopping_) return;
  log::info("crx-agent stops: {}", why);
  stopping_ = true;
  stop_by_ = Deadline::in_ms(kStopMs);
  ipc::EngineNotice notice;
  for (const auto& [pid, engine] : engines_) {
    (void)ipc::send_packet(engine.child.notices.get(), std::as_bytes(std::span(&notice, 1)));
  }
  to_front(ipc::SupervisorNotice{});
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
      // It ended, or says what a front never says; either way it is replaced once it is reaped.
      (void)::kill(front_.pid, SIGKILL);
      front_.link.reset();
      return;
    }
    on_front_notice(notice);
  }
}

void Supervisor::on_front_notice(const ipc::FrontNotice& notice) {
  using Kind = ipc::FrontNotice::Kind;
  switch (notice.kind) {
    case Kind::ready:
      ready();
      break;
    case Kind::failed:
      if (!announced_) throw Error(ErrorCode::refused, "starting crx-agent", notice.text.get());
      log::error("the front cannot start: {}", notice.text.get());
      break;
    case Kind::want_engine:
      spawn_engine(notice);
      break;
    case Kind::query:
      answer_query(notice);
      break;
    case Kind::session_closed:
      if (served_ && !stopping_) begin_stop("the session is over");
      break;
    default:
      log::warn("the front said something unknown");
  }
}

void Supervisor::ready() {
  front_ready_ = true;
  if (announced_) return;
  announced_ = true;
  const uint16_t port = bound_port(listener_.get());
  log::info("crx-agent listens on {}", Endpoint{options_.listen.host, port}.text());
  if (options_.ready_fd < 0) return;
  const Fd told(options_.ready_fd);  // closed: whoever waits sees the end of it as well
  const std::string text = fmt::format("ready {}\n", port);
  if (::write(told.get(), text.data(), text.size()) < 0) {
    log::warn("--ready-fd {}: {}", options_.ready_fd, std::strerror(errno));
  }
}

void Supervisor::refuse(const ipc::FrontNotice& to, const std::string& text, const std::string& hint) {
  ipc::SupervisorNotice notice;
  notice.kind = ipc::SupervisorNotice::Kind::refused;
  notice.tag = to.tag;
  notice.session = to.session;
  notice.text.set(text);
  notice.hint.set(hint);
  log::warn("session {} is refused: {}", to.session.get(), text);
  to_front(notice);
}

void Supervisor::spawn_engine(const ipc::FrontNotice& notice) {
  SessionRequest request{notice.session.get(), notice.peer.get(), notice.wait != 0};
  if (!is_session_id(request.session)) return refuse(notice, "the session id is not valid", {});
  if (stopping_) return refuse(notice, "this agent is being stopped", {});
  if (options_.once && served_) return refuse(notice, "this agent serves one session only", {});
  if (engines_.size() >= options_.max_sessions) {
    return refuse(notice, fmt::format("{} sessions are open already", engines_.size()),
                  "try again later, or start the agent with a higher --max-sessions");
  }
  try {
    if (!read_journal(options_.store, request.session).empty()) {
      return refuse(notice, "this session has been here before", "start a new migration");
    }
    Engine engine{std::move(request), {}, 0};
    engine.child = fork_engine(options_, main_, engine.request, mask_);
    ipc::SupervisorNotice granted;
    granted.kind = ipc::SupervisorNotice::Kind::engine;
    granted.tag = notice.tag;
    granted.session = notice.session;
    const int fds[] = {engine.child.front_link.get(), engine.child.ring.get()};
    to_front(granted, fds);
    engine.child.front_link.reset();
    engine.child.ring.reset();
    const pid_t pid = engine.child.pid;
    log::debug("engine of session {} started (pid {})", engine.request.session, pid);
    engines_.emplace(pid, std::move(engine));
  } catch (const Error& error) {
    refuse(notice, error.what(), error.hint());
  }
}

void Supervisor::answer_query(const ipc::FrontNotice& notice) {
  const std::string session = notice.session.get();
  ipc::SupervisorNotice answer;
  answer.kind = ipc::SupervisorNotice::Kind::state;
  answer.tag = notice.tag;
  answer.session = notice.session;
  bool live = false;
  for (const auto& [pid, engine] : engines_) live = live || engine.request.session == session;
  try {
    const Verdict verdict = live ? read_verdict(options_.store, session)
                                 : settle(options_.store, session, "no engine holds this session any more");
    answer.state.set(live && verdict.state == "unknown" ? "open" : verdict.state);
    answer.text.set(verdict.detail);
  } catch (const Error& error) {
    answer.kind = ipc::SupervisorNotice::Kind::refused;
    answer.text.set(error.what());
  }
  to_front(answer);
}

void Supervisor::on_engine(Engine& engine) {
  ipc::EngineNotice notice;
  for (;;) {
    std::size_t bytes = 0;
    std::vector<Fd> fds;
    if (!engine.child.notices) return;
    const auto result = ipc::receive_packet(engine.child.notices.get(),
                                            std::as_writable_bytes(std::span(&notice, 1)), bytes, fds);
    if (result == ipc::ReceiveResult::would_block) return;
    if (result == ipc::ReceiveResult::closed || bytes != sizeof notice) {
      engine.child.notices.reset();  // it has ended; SIGCHLD tells how
      return;
    }
    if (notice.kind != ipc::EngineNotice::Kind::root_resumed || notice.pid <= 0) continue;
    engine.root = notice.pid;
    const Root root{engine.request.session, engine.request.wait};
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

void Supervisor::reap() {
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG | __WALL);
    if (pid <= 0) return;
    if (WIFSTOPPED(status) || WIFCONTINUED(status)) continue;
    on_exit(pid, status);
  }
}

void Supervisor::on_exit(pid_t pid, int status) {
  if (pid == front_.pid) {
    if (!stopping_ || status != 0)
      log::error("the front ended ({}); it is started again", status_text(status));
    front_.link.reset();
    front_.pid = -1;
    return;
  }
  if (const auto engine = engines_.find(pid); engine != engines_.end()) {
    on_engine(engine->second);
    Engine ended = std::move(engine->second);
    engines_.erase(engine);
    engine_exited(std::move(ended), status);
    return;
  }
  if (const auto root = roots_.find(pid); root != roots_.end()) {
    const Root known = root->second;
    roots_.erase(root);
    root_exited(known, pid, status);
    return;
  }
  // A vessel of a session that ended, or a root whose announcement is still on its way.
  log::debug("child {} ended: {}", pid, status_text(status));
  recent_exits_.emplace_back(pid, status);
  if (recent_exits_.size() > kRecentExits) recent_exits_.pop_front();
}

void Supervisor::engine_exited(Engine engine, int status) {
  const std::string& session = engine.request.session;
  log::at(status == 0 ? log::Level::info : log::Level::warn, "session {}: its engine ended, {}", session,
          status_text(status));
  ipc::SupervisorNotice notice;
  notice.kind = ipc::SupervisorNotice::Kind::engine_exited;
  notice.session.set(session);
  notice.status = status;
  notice.root = engine.root;
  try {
    const Verdict verdict = settle(options_.store, session, "the engine ended, " + status_text(status));
    notice.state.set(verdict.state);
    notice.text.set(verdict.detail);
  } catch (const Error& error) {
    log::error("session {}: {}", session, error.what());
  }
  to_front(notice);
  if (!options_.once) return;
  served_ = true;
  outcome_ = exit_code(status);
  const bool waits = engine.request.wait && status == 0 && engine.root != 0;
  if (!waits) once_close_ = Deadline::in_ms(kOnceCloseMs);
}

void Supervisor::root_exited(const Root& root, pid_t pid, int status) {
  log::info("session {}: its root task (pid {}) ended: {}", root.session, pid, status_text(status));
  ipc::SupervisorNotice notice;
  notice.kind = ipc::SupervisorNotice::Kind::root_exited;
  notice.session.set(root.session);
  notice.status = status;
  to_front(notice);
  if (served_) once_close_ = Deadline::in_ms(kOnceCloseMs);
}

}  // namespace
}  // namespace supervisor

int run_agent(const AgentOptions& options, const EngineMain& engine) {
  AgentOptions resolved = options;
  resolved.tls_dir = wire::tls_dir_or_default(options.tls_dir);
  supervisor::Supervisor agent(resolved, engine);
  return agent.run();
}

}  // namespace crx
