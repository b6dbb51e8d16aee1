// How a tool that was asked for JSON says that it failed, and what it found.
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace crx {

// {"event":"failed","code":...,"message":...}, and of an Error "step", "hint" and "pid" where it has them. Without a
// newline; bytes that are no UTF-8 are replaced.
std::string error_json(const std::exception& error);

// {"event":"finding","object":...,"reason":...,"remedy":...}: something that stands in the way. In the same form.
std::string finding_line(std::string_view object, std::string_view reason, std::string_view remedy);

}  // namespace crx
