#include "common/proc/mountinfo.hpp"

#include <utility>

#include "common/proc/text.hpp"

namespace crx::proc {
namespace {

MountEntry parse_line(Scanner& line) {
  MountEntry mount;
  mount.id = line.signed_dec32();
  mount.parent_id = line.expect(" ").signed_dec32();
  mount.dev_major = line.expect(" ").dec32();
  mount.dev_minor = line.expect(":").dec32();
  mount.root = unescape_octal(line.expect(" ").word());
  mount.mount_point = unescape_octal(line.expect(" ").word());
  mount.options = line.expect(" ").word();
  while (!line.blanks().accept("- ")) {
    if (line.accept("shared:")) {
      mount.shared_group = line.dec32();
    } else if (line.accept("master:")) {
      mount.master_group = line.dec32();
    } else if (line.accept("propagate_from:")) {
      mount.propagate_from = line.dec32();
    } else {
      mount.unbindable = line.word() == "unbindable" || mount.unbindable;
    }
  }
  mount.fs_type = unescape_octal(line.until(' '));
  // A source may be empty: two blanks follow each other in that case.
  mount.source = unescape_octal(line.expect(" ").until(' '));
  mount.super_options = unescape_octal(line.expect(" ").left());
  return mount;
}

}  // namespace

std::vector<MountEntry> parse_mountinfo(std::string_view text) {
  std::vector<MountEntry> mounts;
  while (const auto text_line = next_line(text)) {
    Scanner line("/proc/PID/mountinfo", *text_line);
    mounts.push_back(parse_line(line));
  }
  return mounts;
}

}  // namespace crx::proc
