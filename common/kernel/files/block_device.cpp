#include "common/kernel/files/block_device.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <iterator>
#include <string_view>

#include "common/base/error.hpp"
#include "common/base/fd.hpp"

namespace crx {
namespace {

// Reads one line, without the blanks that pad serial numbers; empty when there is no such file.
std::string line_of(const std::string& path) {
  const std::string text = try_read_file(path, 4096).value_or("");  // the driver may not answer
  const auto first = text.find_first_not_of(" \t\n");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\n") - first + 1);
}

bool is_unique(const std::string& id) {
  static constexpr std::string_view kKinds[] = {"naa.", "eui.", "uuid.", "nvme.", "mpath-"};
  return std::any_of(std::begin(kKinds), std::end(kKinds), [&](std::string_view kind) { return id.starts_with(kind); });
}

}  // namespace

std::string block_device_identity(dev_t device) {
  const std::string folder = fmt::format("/sys/dev/block/{}:{}", ::major(device), ::minor(device));
  const std::string partition = line_of(folder + "/partition");
  const std::string disk = partition.empty() ? folder : folder + "/..";
  for (const char* name : {"dm/uuid", "wwid", "device/wwid"}) {
    const std::string id = line_of(fmt::format("{}/{}", disk, name));
    if (is_unique(id)) return fmt::format("block {} partition {} sectors {}", id, partition, line_of(folder + "/size"));
  }
  return {};
}

}  // namespace crx
