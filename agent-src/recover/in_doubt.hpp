// The words for an original that is kept frozen.
#pragma once

#include <string>

#include "common/session/source_session.hpp"

namespace crx {

// Names the control group of the original and the commands that settle the session.
std::string describe_kept(const SourceSession& description, const std::string& session);

}  // namespace crx
