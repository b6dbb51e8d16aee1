#include "common/proc/maps.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <utility>

#include "common/proc/text.hpp"

namespace crx::proc {
namespace {

constexpr std::string_view kMapsFile = "/proc/PID/maps";

bool flag(Scanner& line, char set, char clear) {
  const char c = line.character();
  if (c != set && c != clear) line.fail("a permission is unknown");
  return c == set;
}

// Reverts the only escape sequence that this file uses. The kernel does not escape backslashes, so other sequences
// stay.
std::string unescape_newline(std::string_view text) {
  constexpr std::string_view kNewline = "\\012";
  std::string out;
  for (std::size_t at; (at = text.find(kNewline)) != std::string_view::npos; text.remove_prefix(at + 4)) {
    out += text.substr(0, at);
    out += '\n';
  }
  out += text;
  return out;
}

bool take(std::string_view& text, std::string_view prefix, std::string_view suffix) {
  if (text.size() < prefix.size() + suffix.size() || !text.starts_with(prefix) || !text.ends_with(suffix)) return false;
  text = text.substr(prefix.size(), text.size() - prefix.size() - suffix.size());
  return true;
}

MapKind bracketed_kind(std::string_view text) {
  using enum MapKind;
  constexpr std::pair<std::string_view, MapKind> kBracketed[] = {
      {"[heap]", heap},        {"[stack]", stack}, {"[vdso]", vdso}, {"[vvar]", vvar}, {"[vvar_vclock]", vvar_vclock},
      {"[vsyscall]", vsyscall}};
  for (const auto& [name, kind] : kBracketed) {
    if (text == name) return kind;
  }
  return other;
}

void classify(MapsEntry& entry, std::string_view text) {
  if (text.empty()) return;
  if (take(text, "[anon:", "]")) {
    entry.name = text;
  } else if (take(text, "[anon_shmem:", "]")) {
    entry.kind = MapKind::shared_anonymous;
    entry.name = text;
  } else if (text.front() == '[') {
    entry.kind = bracketed_kind(text);
    if (entry.kind == MapKind::other && take(text, "[", "]")) entry.name = text;
  } else if (text.starts_with("anon_inode:")) {
    entry.kind = MapKind::anon_inode;
    entry.name = text.substr(sizeof("anon_inode:") - 1);
  } else if (text == "/dev/zero (deleted)" && entry.shared) {
    // A mapped device file never has this name, since its mapping is set up by the driver: only the kernel's own shared
    // memory objects carry it.
    entry.kind = MapKind::shared_anonymous;
  } else if (text == "/[aio] (deleted)") {
    entry.kind = MapKind::aio_ring;
  } else if (entry.dev_major == 0 && take(text, "/memfd:", kDeleted)) {
    entry.kind = MapKind::memfd;
    entry.name = unescape_newline(text);
  } else if (entry.dev_major == 0 && text.size() == 13 + kDeleted.size() && take(text, "/SYSV", kDeleted)) {
    entry.kind = MapKind::sysv_shm;
    entry.name = text;
  } else {
    entry.kind = MapKind::file;
    entry.deleted = take(text, "", kDeleted);
    entry.name = unescape_newline(text);
  }
}

}  // namespace

int MapsEntry::prot() const {
  return (readable ? PROT_READ : 0) | (writable ? PROT_WRITE : 0) | (executable ? PROT_EXEC : 0);
}

MapsEntry parse_maps_line(std::string_view text) {
  Scanner line(kMapsFile, text);
  MapsEntry entry;
  entry.start = line.hex();
  entry.end = line.expect("-").hex();
  if (entry.end <= entry.start) line.fail("the range is empty");
  line.expect(" ");
  entry.readable = flag(line, 'r', '-');
  entry.writable = flag(line, 'w', '-');
  entry.executable = flag(line, 'x', '-');
  entry.shared = flag(line, 's', 'p');
  entry.pgoff = line.expect(" ").hex();
  entry.dev_major = line.expect(" ").hex32();
  entry.dev_minor = line.expect(":").hex32();
  entry.inode = line.expect(" ").dec();
  classify(entry, line.blanks().left());
  return entry;
}

namespace {

// out_of_order gets the first line that does not ascend, and there the list ends.
std::vector<MapsEntry> parse_entries(std::string_view text, std::optional<std::string_view>& out_of_order) {
  std::vector<MapsEntry> entries;
  while (const auto line = next_line(text)) {
    MapsEntry entry = parse_maps_line(*line);
    if (!entries.empty() && entry.start < entries.back().end) {
      out_of_order = *line;
      break;
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace

std::vector<MapsEntry> parse_maps(std::string_view text) {
  std::optional<std::string_view> out_of_order;
  std::vector<MapsEntry> entries = parse_entries(text, out_of_order);
  if (out_of_order) Scanner(kMapsFile, *out_of_order).fail("the entries do not ascend");
  return entries;
}

std::vector<MapsEntry> parse_torn_maps(std::string_view text) {
  std::vector<MapsEntry> entries;
  while (const auto line = next_line(text)) {
    MapsEntry entry = parse_maps_line(*line);
    while (!entries.empty() && entries.back().start >= entry.start) entries.pop_back();
    if (!entries.empty()) entries.back().end = std::min(entries.back().end, entry.start);
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::optional<std::vector<MapsEntry>> try_parse_maps(std::string_view text) {
  std::optional<std::string_view> out_of_order;
  std::vector<MapsEntry> entries = parse_entries(text, out_of_order);
  if (out_of_order) return std::nullopt;
  return entries;
}

namespace {

constexpr std::string_view kSmapsFile = "/proc/PID/smaps";

using Size = std::pair<std::string_view, uint64_t SmapsEntry::*>;
constexpr std::array kSizes = {
    Size{"KernelPageSize", &SmapsEntry::kernel_page_size_kib},
    Size{"Rss", &SmapsEntry::rss_kib},
    Size{"Anonymous", &SmapsEntry::anonymous_kib},
    Size{"AnonHugePages", &SmapsEntry::anon_huge_kib},
    Size{"Swap", &SmapsEntry::swap_kib},
    Size{"Locked", &SmapsEntry::locked_kib},
};

// The detail lines of a mapping begin with a capital letter; its first line begins with a lower-case hexadecimal digit.
bool is_body(std::string_view line) {
  return !line.empty() && line.front() >= 'A' && line.front() <= 'Z';
}

void body_line(SmapsEntry& entry, std::string_view text) {
  Scanner line(kSmapsFile, text);
  const std::string_view key = line.until(':');
  line.expect(":").blanks();
  if (key == "VmFlags") {
    entry.vm_flags = line.left();
  } else if (key == "ProtectionKey") {
    entry.protection_key = line.dec32();
  } else {
    for (const auto& [name, member] : kSizes) {
      if (key != name) continue;
      entry.*member = line.dec();
      line.expect(" kB");
    }
  }
}

}  // namespace

bool SmapsEntry::has(std::string_view flag) const {
  std::string_view left = vm_flags;
  while (left.size() >= 2) {
    if (left.substr(0, 2) == flag) return true;
    left.remove_prefix(left.size() >= 3 ? 3 : left.size());
  }
  return false;
}

std::vector<SmapsEntry> parse_smaps(std::string_view text) {
  std::vector<SmapsEntry> entries;
  while (const auto line = next_line(text)) {
    if (!is_body(*line)) {
      entries.emplace_back().map = parse_maps_line(*line);
    } else if (entries.empty()) {
      Scanner(kSmapsFile, *line).fail("a mapping should come first");
    } else {
      body_line(entries.back(), *line);
    }
  }
  return entries;
}

}  // namespace crx::proc
