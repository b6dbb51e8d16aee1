// How a tool that was asked for JSON says that it failed.
#pragma once

#include <exception>
#include <string>

namespace crx {

// {"event":"failed","code":...,"message":...}, and of an Error "step", "hint" and "pid" where it has them. Without a
// newline; bytes that are no UTF-8 are replaced.
std::string failed_line(const std::exception& error);

}  // namespace crx
