#include "agent-src/collect/kind/file_table.hpp"

#include "agent-src/collect/kind/file_name.hpp"
#include "agent-src/collect/kind/link_remaps.hpp"
#include "common/base/error.hpp"
#include "common/proc/text.hpp"

namespace crx {

img::fown_entry no_owner() {
  img::fown_entry owner;
  owner.set_uid(0);
  owner.set_euid(0);
  owner.set_signum(0);
  owner.set_pid_type(0);
  owner.set_pid(0);
  return owner;
}

namespace {

// An entry at position 0, with no owner for signals.
img::file_entry regular_file(uint32_t id, uint32_t open_flags) {
  img::file_entry entry;
  entry.set_type(img::REG);
  entry.set_id(id);
  img::reg_file_entry& reg = *entry.mutable_reg();
  reg.set_id(id);
  reg.set_flags(open_flags);
  reg.set_pos(0);
  *reg.mutable_fown() = no_owner();
  return entry;
}

}  // namespace

uint32_t FileTable::add_path(const std::string& link, const std::string& shown, bool deleted, uint32_t open_flags) {
  struct stat st {};
  if (::stat(link.c_str(), &st) < 0) throw_errno("looking at a file", link);
  const std::string whole = shown + std::string(proc::kDeleted);
  const bool is_name = deleted && st.st_nlink > 0 && leads_to(whole, st);
  return add_path(link, st, is_name ? whole : shown, deleted && !is_name, open_flags);
}

uint32_t FileTable::add_path(const std::string& link, const struct stat& st, const std::string& path, bool deleted,
                             uint32_t open_flags) {
  const Key key(st.st_dev, st.st_ino, path, open_flags);
  if (const auto known = by_path_.find(key); known != by_path_.end()) return known->second;
  const uint32_t id = next_id();
  img::file_entry entry = regular_file(id, open_flags);
  img::reg_file_entry& reg = *entry.mutable_reg();
  reg.set_name(path);
  if (S_ISREG(st.st_mode)) reg.set_size(static_cast<uint64_t>(st.st_size));
  reg.set_mode(st.st_mode);
  const bool unlinked = deleted && st.st_nlink > 0;
  if (unlinked && links_ == nullptr) {
    throw Error(ErrorCode::refused, "collecting files",
                path + " is in use, its name was removed, but the file has another name that is not known")
        .with_hint("give it its name again, or use --link-remap");
  }
  if ((deleted && !unlinked) || (!deleted && is_carried(path) && S_ISREG(st.st_mode)))
    add_deleted({id, link, path}, st);
  add(std::move(entry));
  by_path_.emplace(key, id);
  if (unlinked) add_linked(id, link, path, st);
  return id;
}

void FileTable::add_deleted(Deleted file, const struct stat& st) {
  const auto [slot, is_new] = ghosts_.try_emplace({st.st_dev, st.st_ino}, 0);
  if (is_new) slot->second = static_cast<uint32_t>(ghosts_.size());
  file.ghost = slot->second;
  file.named = st.st_nlink > 0 && is_carried(file.path);
  if (file.named) file.link = file.path;
  deleted_.push_back(std::move(file));
}

void FileTable::add_linked(uint32_t id, const std::string& link, const std::string& path, const struct stat& st) {
  img::file_entry entry = regular_file(next_id(), 0);
  img::reg_file_entry& reg = *entry.mutable_reg();
  reg.set_name(links_->name_for(link, path, st));
  reg.set_mode(st.st_mode);
  linked_.push_back({id, entry.id()});
  add(std::move(entry));
}

void FileTable::add(img::file_entry entry) {
  const uint32_t id = entry.id();
  if (!entries_.try_emplace(id, std::move(entry)).second) {
    throw Error(ErrorCode::bug, "collecting files", "file id " + std::to_string(id) + " is used twice");
  }
}

const img::file_entry* FileTable::find(uint32_t id) const {
  const auto found = entries_.find(id);
  return found == entries_.end() ? nullptr : &found->second;
}

std::vector<const img::file_entry*> FileTable::entries() const {
  std::vector<const img::file_entry*> all;
  for (const auto& [id, entry] : entries_) all.push_back(&entry);
  return all;
}

}  // namespace crx
