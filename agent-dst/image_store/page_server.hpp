// crx-agent --page-server: receives the pages of a dump from another host, as CRIU's page server does.
#pragma once

#include <string>

#include "wire/page_server/page_server.hpp"

namespace crx {

// Receives the pages of one dump from `stream` and adds them to `directory`, which is created if it is missing. Returns
// when the peer has closed the dump and all of it is on disk. Throws Error(peer) where the peer breaks the protocol or
// leaves before that, and Error(corrupt_image) or Error(kernel) as DirectorySink does; nothing is stored then.
void receive_pages(const std::string& directory, wire::PageStream& stream);

// The whole tool: parses the command line, waits for one connection, stores its pages, and ends. Returns the exit code.
int run_page_server(int argc, const char* const* argv);

}  // namespace crx
