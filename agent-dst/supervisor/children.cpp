#include "agent-dst/supervisor/children.hpp"

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "agent-dst/front/front.hpp"
#include "agent-dst/ipc/engine_link.hpp"
#include "agent-dst/ipc/engine_options.hpp"
#include "agent-dst/ipc/packet.hpp"
#include "agent-dst/ipc/page_ring.hpp"
#include "agent-dst/ipc/session_figures.hpp"
#include "agent-dst/ipc/supervisor_packets.hpp"
#include "agent-dst/sandbox/sandbox.hpp"
#include "agent-dst/session/session_process.hpp"
#include "agent-dst/signer/signer.hpp"
#include "agent-dst/supervisor/tree_init.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/kernel/process/child_process.hpp"
#include "common/systemd/journal_log.hpp"

namespace crx::supervisor {
namespace {

// Resets the signal dispositions and the mask to those of a new process.
void reset_signals(const sigset_t& mask) {
  for (const int sig : {SIGTERM, SIGINT, SIGCHLD, SIGHUP, SIGPIPE}) (void)::signal(sig, SIG_DFL);
  (void)::sigprocmask(SIG_SETMASK, &mask, nullptr);
}

// Runs the whole life of a child and returns its exit code.
template <typename Body>
int live(const char* name, const AgentOptions& options, const sigset_t& mask, Body body) {
  int code = 1;
  try {
    reset_signals(mask);
    // Out of the supervisor's process group: a ^C at its terminal must not interrupt a commit.
    (void)::setpgid(0, 0);
    (void)::prctl(PR_SET_NAME, name, 0, 0, 0);
    log::setup(options.log_level, name);
    log::log_to_journal();
    code = body();
  } catch (const std::exception& error) {
    log::error("{}", error.what());
  }
  return code;
}

const Policy& policy_for(const AgentOptions& options, const std::vector<std::string>& names) {
  for (const PeerPolicy& peer : options.peers) {
    if (std::find(names.begin(), names.end(), peer.name) != names.end()) return peer.policy;
  }
  return options.policy;
}

// Runs the life of a child without privileges.
template <typename Body>
int live_apart(const char* name, Sandbox kind, const AgentOptions& options, const Isolation& isolation,
               const sigset_t& mask, Body body) {
  return live(name, options, mask, [&] {
    log::stay_on_stderr();
    prepare_sandbox(kind);
    if (isolation) isolation->enter();
    return body();
  });
}

// init_pipe: a descriptor to which the root's PID is written as well; -1 for none.
int engine_body(const AgentOptions& options, const EngineMain& main, const SessionRequest& request,
                pid_t session_process, Fd notices, Fd link, Fd ring, int init_pipe) {
  close_all_but({notices.get(), link.get(), ring.get(), init_pipe});
  log::set_session(request.session);
  EngineOptions engine;
  engine.session = request.session;
  engine.peer = request.peer;
  engine.store = options.store;
  engine.hook = options.hook;
  engine.session_process = session_process;
  engine.policy = policy_for(options, request.names);
  engine.require_signature = options.require_signature;
  engine.tls_dir = options.tls_dir;
  engine.tls_crl = options.tls_crl;
  const int to_supervisor = notices.get();
  engine.root_resumed = [to_supervisor, init_pipe](pid_t root) {
    if (init_pipe >= 0) (void)!::write(init_pipe, &root, sizeof root);
    ipc::EngineNotice notice;
    notice.kind = ipc::EngineNotice::Kind::root_resumed;
    notice.pid = root;
    (void)ipc::send_packet(to_supervisor, std::as_bytes(std::span(&notice, 1)));
  };
  return main(std::make_unique<ipc::EngineLink>(std::move(link), std::move(ring), to_supervisor), engine);
}

}  // namespace

ServiceChild fork_signer(const AgentOptions& options, const Isolation& isolation, wire::OpenTlsFiles files,
                         uint32_t keys, const sigset_t& mask) {
  auto [ours, theirs] = ipc::make_pair();
  ServiceChild child;
  const auto body = [&, &signer_link = theirs] {
    return live_apart("crx-signer", Sandbox::signer, options, isolation, mask, [&] {
      return signer::run_signer({std::move(files), keys, std::move(signer_link)});
    });
  };
  child.pid = ChildProcess::fork("starting the signer", body).release();
  child.link = std::move(ours);
  return child;
}

ServiceChild fork_front(const AgentOptions& options, const Isolation& isolation, int listener, int metrics,
                        ipc::AgentCounters& counters, const ipc::SharedBoard* board, const sigset_t& mask) {
  auto [ours, theirs] = ipc::make_pair();
  ServiceChild child;
  const auto body = [&, &front_link = theirs] {
    return live_apart("crx-front", Sandbox::front, options, isolation, mask, [&] {
      (void)::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
      front::FrontOptions front;
      front.listener = duplicate(listener);
      front.supervisor = std::move(front_link);
      if (metrics >= 0) front.metrics = duplicate(metrics);
      front.counters = &counters;
      front.board = board;
      front.greeting_timeout_ms = options.greeting_timeout_ms;
      front.max_sessions = options.max_sessions;
      return front::run_front(std::move(front));
    });
  };
  child.pid = ChildProcess::fork("starting the front", body).release();
  child.link = std::move(ours);
  return child;
}

SessionChild fork_session(const AgentOptions& options, const Isolation& isolation, ConnectionTls tls, Fd socket,
                          Fd signer, const std::string& peer, const sigset_t& mask) {
  auto [ours, theirs] = ipc::make_pair();
  SessionChild child;
  child.figures = ipc::FiguresMemory::make();
  const auto body = [&, &session_link = theirs] {
    return live_apart("crx-session", Sandbox::session, options, isolation, mask, [&] {
      session::SessionOptions session;
      session.socket = std::move(socket);
      session.peer = peer;
      session.supervisor = std::move(session_link);
      session.figures = std::move(child.figures);
      session.signer = std::move(signer);
      session.key = std::move(tls.key);
      session.tls = std::move(tls.context);
      session.greeting_timeout_ms = options.greeting_timeout_ms;
      session.idle_timeout_ms = options.idle_timeout_ms;
      return session::run_session(std::move(session));
    });
  };
  child.pid = ChildProcess::fork("serving a connection", body).release();
  child.link = std::move(ours);
  return child;
}

EngineChild fork_engine(const AgentOptions& options, const EngineMain& main, const SessionRequest& request,
                        pid_t session_process, const sigset_t& mask) {
  auto [notices_ours, notices_theirs] = ipc::make_pair();
  auto [link_session, link_engine] = ipc::make_pair();
  EngineChild child;
  child.ring = ipc::make_ring();
  const auto body = [&, &notices = notices_theirs, &link = link_engine] {
    const auto engine = [&](int init_pipe) {
      (void)::prctl(PR_SET_NAME, "crx-engine", 0, 0, 0);
      // Inside a PID namespace the session's process is not visible, so its pid is not passed on.
      return engine_body(options, main, request, request.new_pids ? 0 : session_process, std::move(notices),
                         std::move(link), std::move(child.ring), init_pipe);
    };
    return live(request.new_pids ? "crx-init" : "crx-engine", options, mask,
                [&] { return request.new_pids ? run_tree_init(notices.get(), engine) : engine(-1); });
  };
  child.pid = request.new_pids ? fork_init(body) : ChildProcess::fork("starting an engine", body).release();
  child.notices = std::move(notices_ours);
  child.session_link = std::move(link_session);
  return child;
}

pid_t fork_recovery(const AgentOptions& options, const SourceRecovery& recovery, const std::string& session,
                    const sigset_t& mask) {
  const auto body = [&] {
    return live("crx-recovery", options, mask, [&] {
      close_all_but({});
      return recovery.finish(options.state, session);
    });
  };
  return ChildProcess::fork("finishing a session", body, {.parent_death_signal = SIGTERM}).release();
}

}  // namespace crx::supervisor
