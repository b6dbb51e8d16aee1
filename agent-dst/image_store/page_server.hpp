// crx-agent --page-server: receives the pages of a dump from another host, as CRIU's page server does.
#pragma once

namespace crx {

// The whole tool: parses what stands on the command line beside --page-server, waits for one connection, stores what it
// brings, and ends. The exit code.
int run_page_server(int argc, const char* const* argv);

}  // namespace crx
