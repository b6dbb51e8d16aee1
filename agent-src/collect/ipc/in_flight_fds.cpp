#include "agent-src/collect/ipc/in_flight_fds.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/fd.hpp"
#include "common/proc/text.hpp"

namespace crx {
namespace {

bool holds_some(const OpenFile& socket) {
  const std::string path = fmt::format("/proc/{}/fdinfo/{}", socket.pid, socket.fd());
  const std::optional<std::string> text = try_read_file(path);
  if (!text) return false;  // closed by now
  std::string_view left = *text;
  while (const auto line = proc::next_line(left)) {
    proc::Scanner scanner(path, *line);
    if (scanner.accept("scm_fds:")) return scanner.blanks().dec() > 0;
  }
  return false;
}

}  // namespace

bool has_in_flight_fds(const std::vector<OpenFile>& files) {
  return std::any_of(files.begin(), files.end(),
                     [](const OpenFile& file) { return S_ISSOCK(file.st.st_mode) && holds_some(file); });
}

}  // namespace crx
