#include "agent-dst/image_tool/stored_sets.hpp"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>
#include <vector>

#include "agent-dst/image_store/set_store.hpp"
#include "common/base/directory.hpp"
#include "common/base/error.hpp"
#include "common/base/fd.hpp"
#include "common/base/size.hpp"
#include "common/image/image_directory.hpp"
#include "common/image/magic.hpp"
#include "common/image/set_name.hpp"

namespace crx {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr int64_t kSecond = 1'000'000'000;
constexpr char kRemoving[] = "removing an image set";

uint64_t bytes_of(const fs::path& folder) {
  uint64_t bytes = 0;
  for (const std::string& name : list_directory(folder.string()).value_or(std::vector<std::string>())) {
    struct stat st {};
    if (::lstat((folder / name).c_str(), &st) == 0) bytes += static_cast<uint64_t>(st.st_blocks) * 512;
  }
  return bytes;
}

// The folder of the set that this one continues; empty for none.
fs::path parent_of(const fs::path& folder) {
  std::error_code failed;
  if (!fs::is_symlink(fs::symlink_status(folder / "parent", failed))) return {};
  const fs::path found = fs::canonical(folder / "parent", failed);
  return failed ? fs::read_symlink(folder / "parent", failed) : found;
}

std::string kind_of(const img::crx_manifest_entry& head) {
  if (head.kind() == img::crx_manifest_entry::PRE_DUMP) return "pre-dump";
  return head.kind() == img::crx_manifest_entry::CHECK_ONLY ? "check-only" : "dump";
}

// Takes the time from the manifest, else from the modification time of the inventory.
void describe(const fs::path& folder, StoredSet& set) {
  struct stat st {};
  if (::stat((folder / std::string(image_file::kInventory)).c_str(), &st) == 0)
    set.time_ns = st.st_mtim.tv_sec * kSecond + st.st_mtim.tv_nsec;
  try {
    const DirectorySource images(folder.string());
    if (!images.contains(image_file::kCrxIntegrity)) return;
    const Manifest manifest = Manifest::read(images.load(image_file::kCrxIntegrity), set.name);
    const img::crx_manifest_entry& head = manifest.head();
    set.time_ns = head.time_ns();
    set.kind = kind_of(head);
    set.pid = head.pid();
    set.comm = head.comm();
    set.host = head.host();
  } catch (const Error& error) {
    set.damage = error.what();
  }
}

std::string age_text(int64_t ns) {
  const int64_t minutes = std::max<int64_t>(ns, 0) / kSecond / 60;
  if (minutes < 120) return fmt::format("{} min", minutes);
  return minutes < 48 * 60 ? fmt::format("{} h", minutes / 60) : fmt::format("{} d", minutes / 60 / 24);
}

}  // namespace

std::vector<StoredSet> list_sets(const std::string& store) {
  std::vector<StoredSet> sets;
  std::map<fs::path, std::string> names;
  const std::optional<std::vector<std::string>> entries = list_directory(store);
  if (!entries)
    throw Error(ErrorCode::kernel, "listing image sets", store, errno)
        .with_hint("use the value of the agent's --store");
  std::error_code failed;
  for (const std::string& entry : *entries) {
    const fs::path path = fs::path(store) / entry;
    StoredSet set;
    set.name = entry;
    if (!valid_set_name(set.name) || !fs::is_directory(fs::symlink_status(path, failed))) continue;
    if (!fs::exists(path / std::string(image_file::kInventory), failed)) continue;
    set.bytes = bytes_of(path);
    set.parent = parent_of(path).string();
    describe(path, set);
    names[fs::canonical(path, failed)] = set.name;
    sets.push_back(std::move(set));
  }
  std::sort(sets.begin(), sets.end(), [](const StoredSet& a, const StoredSet& b) { return a.name < b.name; });
  for (StoredSet& set : sets) {
    const auto parent = names.find(set.parent);
    if (parent == names.end()) continue;
    set.parent = parent->second;
    std::find_if(sets.begin(), sets.end(), [&](const StoredSet& s) {
      return s.name == set.parent;
    })->continued_by.push_back(set.name);
  }
  return sets;
}

std::string sets_text(const std::vector<StoredSet>& sets, int64_t now_ns) {
  std::string out;
  std::size_t width = 4;
  for (const StoredSet& set : sets) width = std::max(width, set.name.size());
  for (const StoredSet& set : sets) {
    out +=
        fmt::format("{:<{}}  {:>10}  {:>7}  ", set.name, width, format_size(set.bytes), age_text(now_ns - set.time_ns));
    out +=
        set.kind.empty() ? "made by CRIU" : fmt::format("{} of {} ({}) on {}", set.kind, set.pid, set.comm, set.host);
    if (!set.damage.empty()) out += ", damaged";
    if (!set.parent.empty()) out += fmt::format(", continues {}", set.parent);
    if (!set.continued_by.empty()) out += fmt::format(", continued by {}", fmt::join(set.continued_by, ", "));
    out += '\n';
  }
  return out;
}

std::string sets_json(const std::vector<StoredSet>& sets) {
  ordered_json out = {{"sets", ordered_json::array()}};
  for (const StoredSet& set : sets) {
    ordered_json one = {
        {"name", set.name},
        {"bytes", set.bytes},
        {"time", fmt::format("{:%FT%TZ}", fmt::gmtime(static_cast<std::time_t>(set.time_ns / kSecond)))}};
    if (!set.kind.empty()) one.update({{"kind", set.kind}, {"pid", set.pid}, {"comm", set.comm}, {"host", set.host}});
    if (!set.damage.empty()) one["damage"] = set.damage;
    one["parent"] = set.parent.empty() ? ordered_json() : ordered_json(set.parent);
    one["continued_by"] = set.continued_by;
    out["sets"].push_back(std::move(one));
  }
  // Bytes that are not UTF-8 are replaced and do not cause an exception.
  return out.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

// 1. A reader of a set, and a session that stores a set which continues it, hold a shared lock on its folder; with the
//    exclusive lock none can begin.
// 2. No set may continue it.
// 3. The folder gets a hidden name, under which an agent removes the rest at its start.
uint64_t remove_set(const std::string& store, const std::string& name) {
  const fs::path path = set_path(store, name);
  const Fd folder = try_open(path.string(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!folder)
    throw Error(ErrorCode::refused, kRemoving, fmt::format("{} has no set {}", store, name), errno)
        .with_hint("crx-image list shows the sets that it has");
  if (::flock(folder.get(), LOCK_EX | LOCK_NB) != 0) {
    throw Error(ErrorCode::refused, kRemoving,
                fmt::format("{} is being read, or a set that continues it is being stored", name))
        .with_hint("try again when that is done");
  }
  const std::vector<StoredSet> sets = list_sets(store);
  const auto set = std::find_if(sets.begin(), sets.end(), [&](const StoredSet& s) { return s.name == name; });
  if (set == sets.end()) throw Error(ErrorCode::refused, kRemoving, path.string() + " is not an image set");
  if (!set->continued_by.empty()) {
    throw Error(ErrorCode::refused, kRemoving,
                fmt::format("{} is continued by {}", name, fmt::join(set->continued_by, ", ")))
        .with_hint("remove what continues it first");
  }
  const fs::path hidden = fs::path(store) / fmt::format("{}{}-removed", kStagedPrefix, name);
  std::error_code failed;
  fs::remove_all(hidden, failed);
  fs::rename(path, hidden, failed);
  if (!failed) fs::remove_all(hidden, failed);
  if (failed) throw Error(ErrorCode::kernel, kRemoving, path.string(), failed.value());
  return set->bytes;
}

}  // namespace crx
