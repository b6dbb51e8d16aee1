// The JSON lines by which a tool reports an error or a finding when the user asked for JSON.
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace crx {

// {"event":"failed","code":...,"message":...}; for an Error also "step", "hint" and "pid" where they are set. The line
// has no newline; bytes that are not UTF-8 are replaced.
std::string error_json(const std::exception& error);

// {"event":"finding","object":...,"reason":...,"remedy":...}: something that prevents the operation. No newline, as
// above.
std::string finding_line(std::string_view object, std::string_view reason, std::string_view remedy);

// {"event":"signed","set":...,"signer":...}: whose signature a set of images has. No newline, as above.
std::string signed_line(std::string_view set, std::string_view signer);

}  // namespace crx
