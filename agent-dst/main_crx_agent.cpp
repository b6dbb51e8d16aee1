// crx-agent: receives process trees and lets them run on this host.
#include <signal.h>

#include <cstdio>
#include <exception>
#include <string_view>

#include "agent-dst/engine/engine.hpp"
#include "agent-dst/image_store/page_server.hpp"
#include "agent-dst/supervisor/agent.hpp"
#include "agent-dst/supervisor/agent_options.hpp"
#include "common/base/log.hpp"
#include "common/tool/sanitize_startup_state.hpp"

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
    crx::log::setup(parsed.options->log_level, "agent");
    return crx::run_agent(*parsed.options, crx::run_engine);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "crx-agent: %s\n", error.what());
    return 1;
  }
}
