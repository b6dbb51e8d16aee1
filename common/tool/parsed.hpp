// The result of parsing a command line.
#pragma once

#include <optional>
#include <string>

namespace crx {

template <typename Options>
struct Parsed {
  std::optional<Options> options;  // empty: the tool prints `text` and ends
  int exit_code = 0;
  std::string text;  // for stdout if exit_code is 0, else for stderr
};

}  // namespace crx
