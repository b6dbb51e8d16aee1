#include "agent-dst/image_store/set_store.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>
#include <vector>

#include "common/base/directory.hpp"
#include "common/base/error.hpp"
#include "common/base/log.hpp"
#include "common/image/disk_error.hpp"
#include "common/image/set_name.hpp"

namespace crx {
namespace {

constexpr char kSetStoreStep[] = "storing an image set";

[[noreturn]] void refuse_taken(const std::string& store, const std::string& name) {
  throw Error(ErrorCode::refused, kSetStoreStep, store + " has a set " + name + " already")
      .with_hint("take another name, or remove that set");
}

// Removes the folder; symbolic links in it are removed, not followed.
void remove_folder(const std::string& path) noexcept {
  std::error_code failed;
  std::filesystem::remove_all(path, failed);
  if (failed) log::warn("cannot remove {}: {}", path, failed.message());
}

}  // namespace

std::string set_path(const std::string& store, const std::string& name) {
  if (!valid_set_name(name)) {
    throw Error(ErrorCode::refused, "looking for an image set", "'" + name.substr(0, 80) + "' is not the name of a set")
        .with_hint("a name has at most 64 letters, digits, '.', '_' and '-', and does not begin with a dot");
  }
  return store + "/" + name;
}

StagedSet::StagedSet(const std::string& store, const std::string& name, const std::string& session)
    : name_(name), staging_(kStagedPrefix + session), path_(store + "/" + staging_), store_(store) {
  const std::string final_path = set_path(store, name);
  directory_ = try_open(store, O_RDONLY | O_DIRECTORY);
  if (!directory_) throw_writing("opening the store", store);
  struct stat st {};
  if (::fstatat(directory_.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) refuse_taken(store, name);
  if (::mkdirat(directory_.get(), staging_.c_str(), 0700) != 0) throw_writing(kSetStoreStep, path_);
}

StagedSet::~StagedSet() {
  if (!staging_.empty()) remove_folder(path_);
}

void StagedSet::publish() {
  if (::renameat2(directory_.get(), staging_.c_str(), directory_.get(), name_.c_str(), RENAME_NOREPLACE) != 0) {
    if (errno == EEXIST) refuse_taken(store_, name_);
    throw_writing(kSetStoreStep, store_ + "/" + name_);
  }
  staging_.clear();
  if (::fsync(directory_.get()) != 0) throw_writing(kSetStoreStep, store_);
}

std::vector<RecentSet> recent_sets(const std::string& store, std::size_t most, std::size_t& all) {
  std::vector<RecentSet> sets;
  for (std::string& name : list_directory(store).value_or(std::vector<std::string>())) {
    if (name == "journal" || !valid_set_name(name)) continue;
    struct stat info {};
    if (::stat(fmt::format("{}/{}/inventory.img", store, name).c_str(), &info) != 0) continue;
    sets.push_back({std::move(name), 0, info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec});
  }
  all = sets.size();
  std::sort(sets.begin(), sets.end(),
            [](const RecentSet& a, const RecentSet& b) { return a.modified_ns > b.modified_ns; });
  if (sets.size() > most) sets.resize(most);
  for (RecentSet& set : sets) {
    const std::string folder = store + "/" + set.name;
    for (const std::string& file : list_directory(folder).value_or(std::vector<std::string>())) {
      struct stat info {};
      if (::lstat((folder + "/" + file).c_str(), &info) == 0 && S_ISREG(info.st_mode))
        set.bytes += static_cast<uint64_t>(info.st_size);
    }
  }
  return sets;
}

void remove_staged(const std::string& store) {
  for (const std::string& name : list_directory(store).value_or(std::vector<std::string>())) {
    if (!name.starts_with(kStagedPrefix)) continue;
    const std::string path = store + "/" + name;
    log::info("removing {}, which was left unfinished", path);
    remove_folder(path);
  }
}

}  // namespace crx
