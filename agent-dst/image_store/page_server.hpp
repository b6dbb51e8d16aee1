// crx-agent --page-server: receives the pages of a dump from another host, as CRIU's page server does.
#pragma once

namespace crx {

// The whole tool: parses the command line, waits for one connection, stores its pages, and ends. Returns the exit code.
int run_page_server(int argc, const char* const* argv);

}  // namespace crx
