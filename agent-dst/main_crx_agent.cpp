// crx-agent: receives process trees and lets them run on this host.
#include <signal.h>

#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent-dst/engine/engine.hpp"
#include "agent-dst/image_store/page_server.hpp"
#include "agent-dst/supervisor/agent.hpp"
#include "agent-dst/supervisor/agent_options.hpp"
#include "agent-src/recover/resolve_session.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/session/session_table.hpp"
#include "common/systemd/journal_log.hpp"
#include "common/tool/sanitize_startup_state.hpp"

namespace {

int finish_session(const std::string& state_dir, const std::string& session) {
  const auto waits = [&session](const std::string& reason) { crx::log::warn("session {}: {}", session, reason); };
  const crx::Resolution resolution = crx::resolve_session({state_dir, session, std::nullopt, {}, {}, waits});
  crx::log::info("session {}: {}", session,
                 resolution == crx::Resolution::moved   ? "the process runs at the destination; the original is gone"
                 : resolution == crx::Resolution::stays ? "the process runs on here"
                 : resolution == crx::Resolution::discarded ? "the original was discarded"
                                                            : "the process has ended");
  return 0;
}

// The command line and the configuration file once more, for a reload. The descriptor of --ready-fd is closed by then.
crx::AgentOptions read_again(int argc, char** argv) {
  std::vector<const char*> words;
  for (int i = 0; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--ready-fd")
      ++i;
    else if (!word.starts_with("--ready-fd="))
      words.push_back(argv[i]);
  }
  crx::ParsedAgentOptions parsed = crx::parse_agent_options(static_cast<int>(words.size()), words.data());
  if (!parsed.options) throw crx::Error(crx::ErrorCode::refused, "reading the options again", parsed.text);
  return std::move(*parsed.options);
}

}  // namespace

int main(int argc, char** argv) {
  crx::sanitize_startup_state();
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--page-server") return crx::run_page_server(argc, argv);
  }
  try {
    const crx::ParsedAgentOptions parsed = crx::parse_agent_options(argc, argv);
    if (!parsed.options) {
      std::fputs(parsed.text.c_str(), parsed.exit_code == 0 ? stdout : stderr);
      return parsed.exit_code;
    }
    ::signal(SIGPIPE, SIG_IGN);
    if (parsed.options->list)
      return crx::print_sessions(
          {{parsed.options->store, parsed.options->state}, parsed.options->all, parsed.options->json});
    crx::log::setup(parsed.options->log_level, "agent");
    crx::log::log_to_journal();
    const auto reread = [argc, argv] { return read_again(argc, argv); };
    return crx::run_agent(*parsed.options, crx::run_engine, {crx::is_left_unfinished, finish_session}, reread);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "crx-agent: %s\n", error.what());
    return 1;
  }
}
